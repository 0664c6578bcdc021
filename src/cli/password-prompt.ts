import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { AsynqError, UsageError } from '../errors.js'

/** Asks for a password on the terminal without echo. @throws {UsageError} there is no terminal. */
export async function askPassword(): Promise<string> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError('password "-" needs a terminal to ask on: use ASYNQ_PASSWORD or --password_file')
  }
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: mute, terminal: true })
  process.stderr.write('Password: ')
  try {
    return await new Promise<string>((resolve, reject) => {
      terminal.once('line', resolve)
      terminal.once('SIGINT', () => reject(new AsynqError('INTERRUPTED', 'interrupted')))
    })
  } finally {
    process.stderr.write('\n')
    terminal.close()
  }
}
