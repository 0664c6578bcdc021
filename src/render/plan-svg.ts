/** A reshard plan as two pictures of the slots, before and after; the bubbles are the slots that move. Pure. */
import type { MapOwner, MapSlot, SlotMap } from '../operations/slot-map.js'
import type { PlanFile, PlanFileNode } from '../plan/plan-file.js'
import { ownersOf, shardsAfter } from '../plan/snapshot.js'
import { planTotals, scoreLine } from './plan.js'
import { renderSlotMapSvg } from './slot-map-svg.js'

export function renderPlanSvg(file: PlanFile): string {
  const shards = file.cluster.shards.map(({ master, slots }) => ({ master: master.id, slots }))
  const halves = [
    {
      map: mapOf(file, file.before, ownersOf(shards)),
      heading: { title: `Plan ${file.id}: before`, note: planTotals(file) },
    },
    {
      map: mapOf(file, file.after, ownersOf(shardsAfter(shards, file.moves))),
      heading: { title: 'After', note: scoreLine(file) },
    },
  ].map(({ map, heading }) => renderSlotMapSvg(map, heading))
  const sizes = halves.map((svg) => {
    const [, width, height] = /^<svg [^>]*? width="(\d+)" height="(\d+)"/.exec(svg) as RegExpExecArray
    return { width: Number(width), height: Number(height) }
  })
  const width = Math.max(...sizes.map(({ width }) => width))
  const height = sizes.reduce((sum, { height }) => sum + height, 0)
  let y = 0
  const parts = halves.map((svg, at) => {
    const placed = svg.replace('<svg ', `<svg y="${y}" `)
    y += sizes[at]!.height
    return placed
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n${parts.join('')}</svg>\n`
}

function mapOf(file: PlanFile, loads: readonly PlanFileNode[], owners: readonly (string | null)[]): SlotMap {
  const known = loads.every(({ bytes }) => bytes !== null)
  const position = new Map(file.cluster.shards.map(({ master }, at) => [master.id, at]))
  const ownerOf = owners.map((id) => (id === null ? -1 : position.get(id)!))
  const byId = new Map(loads.map((load) => [load.node, load]))
  return {
    by: known ? 'bytes' : 'keys',
    unit: known ? 'bytes' : 'keys',
    owners: file.cluster.shards.map(({ master }): MapOwner => {
      const { slots, queues, bytes, keys } = byId.get(master.id)!
      return { node: master, slots, queues, load: (known ? bytes : keys) ?? 0 }
    }),
    ownerOf,
    used: file.moves
      .filter(({ keys, queues }) => keys > 0 || queues.length > 0)
      .map(({ slot, keys, bytes, queues }): MapSlot => ({
        slot,
        owner: ownerOf[slot]!,
        load: (known ? bytes : keys) ?? 0,
        queues: queues.map(({ queue }) => queue),
      }))
      .sort((a, b) => a.slot - b.slot),
    open: new Set(),
    readAtMs: Date.parse(file.cluster.readAt),
  }
}
