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

/** Null when the bytes are no UTF-8, or hold control characters other than white space. */
export function printableText(bytes: Buffer): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)

    return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text) ? null : text
  } catch {
    return null
  }
}
