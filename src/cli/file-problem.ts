import { PreconditionError } from '../errors.js'

/** What the system has against a file, by its code. */
const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'its folder is a file',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left',
  EDQUOT: 'the quota is used up',
  EMFILE: 'too many files are open',
}

export function cannotWrite(path: string, error: unknown): PreconditionError {
  const { code, message } = error as NodeJS.ErrnoException
  return new PreconditionError(
    `cannot write ${path}: ${WHY[code ?? ''] ?? message}`,
    { path },
    { cause: error },
  )
}

/** What to say when the system refused a file or folder that nobody looked after; null for any other error. */
export function fileProblem(error: Error): PreconditionError | null {
  const { code, path } = error as NodeJS.ErrnoException
  const why = WHY[code ?? '']
  if (why === undefined || path === undefined) return null
  return new PreconditionError(`cannot use ${path}: ${why}`, { path }, { cause: error })
}
