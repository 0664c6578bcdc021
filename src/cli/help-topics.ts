import { DEFAULT_URI } from './connection-options.js'
import { EXIT, MONITORING_EXIT } from './exit-codes.js'
import { envName, globalFlagEntries } from './global-flags.js'

export interface HelpTopic {
  readonly name: string
  readonly summary: string
  /** Made when it is asked for. */
  readonly text: () => string
}

/** What `asynq help TOPIC` explains beyond single commands. */
export const HELP_TOPICS: readonly HelpTopic[] = [
  {
    name: 'exit-codes',
    summary: 'what the exit code says',
    text: () => `The exit code is the same with and without --json.

  ${EXIT.OK}    done, also when there was nothing to do
  ${EXIT.BUG}    a bug in asynq; please report it
  ${EXIT.USAGE}    wrong usage: an unknown command or flag, a value of the wrong form, a broken config file
  ${EXIT.NOT_FOUND}    not found: no such queue, task, server or node
  ${EXIT.UNAVAILABLE}    cannot connect, timed out, or the cluster is down
  ${EXIT.PRECONDITION}    refused: by the present state, by rights, by --read_only, or not confirmed
  ${EXIT.PARTIAL}    partly done; every item is reported
  ${EXIT.STALE}    the plan is stale or was edited
  ${EXIT.PROTOCOL}    stored data or a reply that does not decode
  9    something would change (with --exit-code alone)
  ${EXIT.INTERRUPTED}  interrupted

Commands that judge, as health does, end as monitoring plug-ins do, and only so:

  ${MONITORING_EXIT.OK}    ok
  ${MONITORING_EXIT.WARNING}    warning
  ${MONITORING_EXIT.CRITICAL}    critical, also when the server cannot be reached
  ${MONITORING_EXIT.UNKNOWN}    unknown: wrong usage, unreadable rules, not permitted to look
`,
  },
  {
    name: 'formatting',
    summary: 'tables, JSON, columns, filters, queries',
    text: () => `Data goes to stdout, everything else to stderr.

On a terminal a table is drawn within its width. In a pipe there are a header, a row of dashes and whole values, two
spaces apart; --no-header leaves both rows out.

  $ asynq queue ls -o wide                    all columns
  $ asynq queue ls -o json                    one document; "asynq schema show queue-list/v1" describes it
  $ asynq queue ls -o name                    the first column alone, for xargs
  $ asynq queue ls -o csv --columns queue,pending
  $ asynq queue ls --sort -pending,queue --limit 10
  $ asynq queue ls --filter 'queue=web*' --filter 'pending>10'
  $ asynq queue ls --query 'queues[].queue'   JMESPath over the document

Durations read and write as 1h30m, 250ms; in JSON they are numbers of milliseconds, and their names end in Ms.
Times are RFC 3339. Payloads are {"json": ...}, {"text": ...} or {"base64": ...}, whichever fits.
NO_COLOR or --no-color switches colour off.
`,
  },
  {
    name: 'environment',
    summary: 'variables that asynq reads',
    text: () => {
      const rows = globalFlagEntries
        .filter(([, { setting }]) => setting)
        .map(([name]) => [envName(name), `--${name}`] as const)
      const widest = Math.max(...rows.map(([variable]) => variable.length))
      return `A flag wins over the environment, that over the context, that over the top of the config file.

${rows.map(([variable, flag]) => `  ${variable.padEnd(widest)}  ${flag}`).join('\n')}

  ${'ASYNQ_CONFIG'.padEnd(widest)}  config file; default $HOME/.asynq.yaml, .yml or .json
  ${'ASYNQ_CONTEXT'.padEnd(widest)}  context to use
  ${'ASYNQ_LEGACY_ENV'.padEnd(widest)}  1: also read the unprefixed names of Go's CLI (URI, PASSWORD, ...)
  ${'ASYNQ_GO_COMPAT'.padEnd(widest)}  1: for scripts made for Go's CLI: ask nothing that it does not ask
  ${'NO_COLOR'.padEnd(widest)}  no colour
`
    },
  },
  {
    name: 'migrating-from-go',
    summary: "what differs from Go's asynq command",
    text: () => `Commands, aliases and flags of Go's CLI work as they are, also in front of the command, as --flag=true, and given twice.
The config file keeps its keys. What differs:

  errors           go to stderr, and the exit code is not 0 (asynq help exit-codes)
  queue ls         shows nodes by id and address, and also when cluster comes from the config file
  server ls        writes nothing
  environment      names begin with ASYNQ_ (ASYNQ_LEGACY_ENV=1 reads the old ones as well)
  bulk changes     ask on a terminal and need --yes without one (ASYNQ_GO_COMPAT=1: they do not)
  task enqueue     also takes headers, files, stdin and many tasks at once
  default server   ${DEFAULT_URI}, as in Go

  $ ASYNQ_GO_COMPAT=1 asynq task deleteall -q images -s archived
`,
  },
  {
    name: 'resharding',
    summary: 'moving queues between nodes safely',
    text: () => `A queue is one hash tag: all its keys live in one of the 16384 slots, and move together. It cannot be split.

  $ asynq queue ls --cluster                          where queues live
  $ asynq cluster keyslot images                      the slot of a queue, without a server
  $ asynq reshard predict --from all --to NODE --slots 100
                                                      what redis-cli --cluster reshard would move

redis-cli may move fewer slots than asked, and the node it is pointed at decides ties: predict follows its arithmetic,
so that nobody finds out afterwards which queues were moved. "asynq reshard --help" lists what else there is.
`,
  },
]
