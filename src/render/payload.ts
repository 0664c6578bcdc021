import { printableText } from '../wire/printable-text.js'

/**
 * Bytes as JSON documents show them: as JSON, else as text, else as base64.
 * @param options.exact JSON only where writing it again gives the same bytes.
 */
export function payloadDocument(
  bytes: Buffer,
  options: { readonly exact?: boolean } = {},
): { readonly json: unknown } | { readonly text: string } | { readonly base64: string } {
  const text = printableText(bytes)
  if (text === null) return { base64: bytes.toString('base64') }
  try {
    const json = JSON.parse(text) as unknown
    return options.exact && JSON.stringify(json) !== text ? { text } : { json }
  } catch {
    return { text }
  }
}

/** Bytes as tables show them; `brief` cuts them to one short line. */
export function payloadText(bytes: Buffer, brief: boolean): string {
  const text = printableText(bytes) ?? `0x${bytes.toString('hex')}`
  return brief && text.length > 60 ? `${text.slice(0, 59)}…` : text
}
