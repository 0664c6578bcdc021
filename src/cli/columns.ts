import type { Column } from '../render/listing.js'
import { formatBytes } from '../units.js'

/** Columns that several listings share the look of. */

/** Bytes: `1.6GiB` on a terminal, whole numbers in a pipe. */
export function bytesColumn<Row>(
  column: Pick<Column<Row>, 'key' | 'title' | 'wide'> & { readonly value: (row: Row) => number | null },
): Column<Row> {
  return {
    ...column,
    text: (row, brief) => {
      const bytes = column.value(row)
      return bytes === null ? '-' : brief ? formatBytes(bytes) : String(bytes)
    },
  }
}

/** The address of a node, `-` for none. */
export const addressText = (node: { readonly address: string } | null): string => node?.address ?? '-'
