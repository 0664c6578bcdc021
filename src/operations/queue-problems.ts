import { AsynqError } from '../errors.js'
import type { Inspector, QueueInfo } from '../inspector/inspector.js'

/** Queues that cannot be read beside those that can. */

export interface QueueProblem {
  readonly queue: string
  readonly problem: string
}

/** The facts of the queues that can be read, and what is wrong with the others. @throws {AsynqError} none can be read. */
export async function readKnownInfos(
  inspector: Inspector,
  names: readonly string[],
  options: { readonly memory: boolean },
): Promise<{ readonly infos: readonly QueueInfo[]; readonly problems: readonly QueueProblem[] }> {
  const infos: QueueInfo[] = []
  const problems: QueueProblem[] = []
  let first: AsynqError | undefined
  for (const [at, info] of (await inspector.queueInfosEach(names, options)).entries()) {
    if (!(info instanceof AsynqError)) infos.push(info)
    else {
      first ??= info
      problems.push({ queue: names[at]!, problem: whyUnread(info) })
    }
  }
  if (infos.length === 0 && first) throw first
  return { infos, problems }
}

/** Why the figures of a queue cannot be read, as a part of a sentence. Pure. */
export function whyUnread(error: AsynqError): string {
  return error.code === 'UNAVAILABLE' ? 'its node gave no figures' : error.message
}

/** To be thrown once everything else was shown. Nothing when there are no problems. @throws {AsynqError} PARTIAL. */
export function assertNoProblems(problems: readonly QueueProblem[], queueCount: number): void {
  if (problems.length === 0) return
  const list = problems.map(({ queue, problem }) => `"${queue}": ${problem}`).join('; ')
  throw new AsynqError('PARTIAL', `${problems.length} of ${queueCount} queues have a problem: ${list}`)
}
