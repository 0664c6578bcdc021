import { UsageError } from '../errors.js'
import { renderCommandHelp, renderTopicHelp } from '../render/help.js'
import { readCommandIndex } from './command-index.js'
import { HELP_TOPICS } from './help-topics.js'
import { suggest } from './normalize-argv.js'

/** Wider lines than this are hard to read. */
const WIDEST = 110

/**
 * The help text of a command, of a topic (the words that several commands begin with) or, for no words, of all.
 * @param columns width of the terminal. @throws {UsageError} nothing has that name.
 */
export function helpFor(words: readonly string[], columns = 80): string {
  const index = readCommandIndex()
  const width = Math.min(columns, WIDEST)
  const id = words.join(':')
  const topic = HELP_TOPICS.find(({ name }) => name === id)
  if (topic) return topic.text()
  const command = index.commands.find((known) => known.id === id || known.aliases.includes(id))
  if (command) return renderCommandHelp(command, { width, globals: index.globals })
  const within = index.commands.filter((known) => id === '' || known.id.startsWith(`${id}:`))
  if (within.length === 0) {
    const near = suggest(
      words,
      [...index.commands.map((known) => known.id.split(':')), ...HELP_TOPICS.map(({ name }) => [name])].map(
        (known) => ({ words: known }),
      ),
    )
    throw new UsageError(
      `no help for "${words.join(' ')}"; ${near === null ? 'see: asynq --help' : `did you mean "asynq help ${near}"?`}`,
    )
  }
  return renderTopicHelp(
    words,
    { ...index, commands: within },
    { width, helpTopics: HELP_TOPICS.map(({ name, summary }) => [name, summary] as const) },
  )
}
