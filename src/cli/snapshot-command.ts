import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { Flags } from '@oclif/core'
import { AsynqError, UsageError } from '../errors.js'
import { readSnapshot, type SnapshotOptions } from '../operations/read-snapshot.js'
import { parseSnapshot, type ClusterSnapshot } from '../plan/cluster-snapshot.js'
import { BaseCommand } from './base-command.js'
import { cannotWrite } from './file-problem.js'
import { startProgress } from './progress.js'

/** For commands that look at a cluster, or at a snapshot of one that is kept in a file. */
export const snapshotFlag = {
  snapshot: Flags.string({
    helpValue: 'FILE',
    description: 'look at this snapshot (of: cluster snapshot) and at no server',
  }),
}

export const exactFlag = {
  exact: Flags.boolean({ description: 'count the bytes of every key instead of estimating them (slow)' }),
}

export abstract class SnapshotCommand extends BaseCommand {
  static override clusterOnly = true
  // Each call is bounded; many calls of a large cluster may take longer.
  protected override oneShot = false

  /** The cluster as it is, or as the file of --snapshot has it. */
  protected async snapshot(options: SnapshotOptions): Promise<ClusterSnapshot> {
    const file = this.flags['snapshot'] as string | undefined
    if (file !== undefined) {
      if (this.flags['exact'] === true) throw new UsageError('--exact needs a server, and --snapshot is none')
      return parseSnapshot(await readInput(file))
    }
    if (this.flags['exact'] !== true) return this.#read(options)
    const bar = await startProgress('counting', 0, 'keys')
    try {
      const onProgress = (done: number, total: number) => {
        bar.setTotal(total)
        bar.update(done)
      }
      return await this.#read({ ...options, bytes: 'exact', onProgress })
    } finally {
      bar.end()
    }
  }

  /** Whether the output shows all columns, or one of these was asked for: they then cost what they cost. */
  protected wantsWide(columns: readonly string[]): boolean {
    if (this.json || (this.format() !== 'table' && this.format() !== 'name')) return true
    const {
      columns: picked,
      sort,
      filter,
    } = this.flags as { columns?: string; sort?: string; filter?: string[] }
    const asked = [picked, sort, ...(filter ?? [])].join(' ')
    return columns.some((key) => new RegExp(`\\b${key}\\b`).test(asked))
  }

  /** Whether colours and bold are wanted. */
  protected coloured(): boolean {
    return process.stdout.isTTY && this.flags['no-color'] !== true && (process.env['NO_COLOR'] ?? '') === ''
  }

  async #read(options: SnapshotOptions): Promise<ClusterSnapshot> {
    const snapshot = await this.withRedis((redis) => readSnapshot(redis, options))
    for (const warning of snapshot.warnings) this.note(`Warning: ${warning}`)
    return snapshot
  }
}

/** @throws {AsynqError} NOT_FOUND, or USAGE for a file that cannot be read. */
export async function readInput(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new AsynqError('NOT_FOUND', `no file ${file}`, { file }, { cause: error })
    throw new UsageError(`${file} cannot be read: ${String(code)}`, { file }, { cause: error })
  }
}

/**
 * Writes a file that only its owner may read, whole or not at all; devices and pipes are written to as they are.
 * @throws {PreconditionError} it cannot be written.
 */
export async function writeOutput(file: string, text: string): Promise<void> {
  const present = await stat(file).catch(() => null)
  try {
    if (present !== null && !present.isFile()) return await writeFile(file, text)
    const draft = `${file}.${process.pid}.tmp`
    try {
      await writeFile(draft, text, { mode: 0o600 })
      await rename(draft, file)
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    }
  } catch (error) {
    throw cannotWrite(file, error)
  }
}
