/** Instants as documents show them: RFC 3339; null for none. */

export function isoOfMs<Ms extends number | null>(ms: Ms): Ms extends number ? string : string | null
export function isoOfMs(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}

export const isoOfNs = (ns: bigint | null): string | null => isoOfMs(msOfNs(ns))

export const msOfNs = (ns: bigint | null): number | null => (ns === null ? null : Number(ns / 1_000_000n))
