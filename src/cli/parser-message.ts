/** What oclif's parser complains about, in our words and as one line: it may list several things, each on its own. Pure. */
export function parserMessage(text: string): string {
  const [first = '', ...more] = text
    // It colours what it says, whatever is asked of it.
    .replaceAll(/\u001b\[[0-9;]*m/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^(See more help|Note:|Alternatively)/.test(line))
  if (/^The following errors? occurred/.test(first))
    return more.map((line) => problem(line.trim())).join('; ')
  const flag = /^Parsing (--\S+)/.exec(first)?.[1]
  if (flag !== undefined) return `${flag}: ${more.map((line) => problem(line.trim())).join(' ')}`
  if (/^Missing \d+ required arg/.test(first)) {
    // Names stand in front; what describes them may go on in lines below.
    const names = more.flatMap((line) => /^([\w-]+)(?: |$)/.exec(line)?.[1]?.toUpperCase() ?? [])
    return `missing ${names.length > 1 ? 'arguments' : 'argument'} ${names.join(', ')}`
  }
  return problem(first.trim())
}

function problem(line: string): string {
  const [, missing] = /^Missing required flag (\S+)$/.exec(line) ?? []
  if (missing !== undefined) return `missing flag --${missing}`
  const [, flag, others] = /^All of the following must be provided when using (--\S+): (.+)$/.exec(line) ?? []
  if (flag !== undefined) return `${flag} goes with ${others}`
  return line.replace(/^\w/, (letter) => letter.toLowerCase())
}
