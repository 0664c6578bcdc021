/** Polls a condition until it holds. @throws when it does not within `timeoutMs`, naming `what`. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  options: { readonly what: string; readonly timeoutMs?: number },
): Promise<void> {
  const deadline = Date.now() + (options.timeoutMs ?? 10_000)
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`timed out waiting for: ${options.what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
