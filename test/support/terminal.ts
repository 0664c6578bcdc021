import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import { waitFor } from './wait-for.js'

const BIN = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))
const run = promisify(execFile)

/** The binary on a pseudo-terminal of its own, by tmux: what a person sees and types. */
export interface Terminal {
  /** Keys as tmux names them: `Enter`, `Escape`, `C-c`, or text. */
  readonly press: (...keys: readonly string[]) => Promise<void>
  /** The lines on the screen, without styles. */
  readonly screen: () => Promise<readonly string[]>
  /** Waits until the screen as a whole fits. @throws with the last screen. */
  readonly see: (pattern: RegExp) => Promise<string>
  readonly resize: (columns: number, rows: number) => Promise<void>
  /** The process id of the binary. */
  readonly pid: () => Promise<number>
  readonly close: () => Promise<void>
}

/** Starts the binary in a shell, which prints `ended with CODE` and the state of the terminal afterwards. */
export async function openTerminal(
  args: readonly string[],
  options: {
    readonly columns?: number
    readonly rows?: number
    readonly env?: Readonly<Record<string, string>>
  } = {},
): Promise<Terminal> {
  const dir = mkdtempSync(join(tmpdir(), 'asynq-terminal-'))
  const tmux = (...words: readonly string[]) =>
    run('tmux', ['-S', join(dir, 'socket'), '-f', '/dev/null', ...words])
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
  const env = Object.entries({ HOME: dir, ...options.env }).map(([name, value]) => `${name}=${quote(value)}`)
  const program = [...env, 'exec', ...[process.execPath, BIN, ...args].map(quote)].join(' ')
  const shell = `echo before; (echo $BASHPID > ${dir}/pid; ${program}); echo "ended with $?"; stty -a | grep -o -- '-\\?icanon'; exec sleep 600`
  const size = ['-x', String(options.columns ?? 80), '-y', String(options.rows ?? 24)]
  await tmux('new-session', '-d', ...size, 'bash', '--norc', '-c', shell)
  const screen = async () => (await tmux('capture-pane', '-p')).stdout.split('\n')
  return {
    press: async (...keys) => void (await tmux('send-keys', ...keys)),
    screen,
    see: async (pattern) => {
      let text = ''
      await waitFor(
        async () => {
          text = (await screen()).join('\n')
          return pattern.test(text)
        },
        { what: String(pattern) },
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${text}`)
      })
      return text
    },
    resize: async (columns, rows) =>
      void (await tmux('resize-window', '-x', String(columns), '-y', String(rows))),
    pid: async () => Number((await run('cat', [join(dir, 'pid')])).stdout),
    close: async () => {
      await tmux('kill-server').catch(() => undefined)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
