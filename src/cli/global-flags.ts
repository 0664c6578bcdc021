/**
 * The flags that every command shares, as data: one table for the parser, the argument normaliser, the environment
 * (`ASYNQ_` + the name in capitals) and the config file (the same names).
 */
export interface GlobalFlag {
  readonly kind: 'string' | 'boolean' | 'strings'
  readonly char?: string
  readonly aliases?: readonly string[]
  readonly description: string
  /** Shown in help. */
  readonly value?: string
  readonly group: 'CONNECTION' | 'SAFETY' | 'OUTPUT'
  /** May also come from the environment and the config file. */
  readonly setting: boolean
  /** A flag that takes the value of this one when it is given one: `--watch=5s` is `--watch --interval 5s`. */
  readonly valueTo?: string
}

const connection = { group: 'CONNECTION', setting: true } as const
const safety = { group: 'SAFETY', setting: true } as const
const output = { group: 'OUTPUT', setting: false } as const

export const GLOBAL_FLAGS = {
  uri: {
    ...connection,
    kind: 'string',
    char: 'u',
    value: 'HOST:PORT|URI',
    description:
      'server: host:port, redis://, rediss://, redis-socket:// or redis-sentinel:// [127.0.0.1:6379]',
  },
  db: {
    ...connection,
    kind: 'string',
    char: 'n',
    value: 'N',
    description: 'database number (not on a cluster) [0]',
  },
  password: {
    ...connection,
    kind: 'string',
    char: 'p',
    value: 'PASSWORD',
    description: 'password; "-" asks for it. Prefer ASYNQ_PASSWORD or --password_file: arguments show in ps',
  },
  password_file: {
    ...connection,
    kind: 'string',
    aliases: ['password-file'],
    value: 'FILE',
    description: 'file whose first line is the password',
  },
  username: { ...connection, kind: 'string', char: 'U', value: 'NAME', description: 'ACL user' },
  cluster: { ...connection, kind: 'boolean', description: 'connect to a Redis Cluster' },
  cluster_addrs: {
    ...connection,
    kind: 'string',
    aliases: ['cluster-addrs'],
    value: 'HOST:PORT,...',
    description: 'addresses of some nodes; implies --cluster [127.0.0.1:7000 to 127.0.0.1:7005]',
  },
  sentinel_addrs: {
    ...connection,
    kind: 'string',
    aliases: ['sentinel-addrs'],
    value: 'HOST:PORT,...',
    description: 'addresses of the Sentinels; with --master_name',
  },
  master_name: {
    ...connection,
    kind: 'string',
    aliases: ['master-name'],
    value: 'NAME',
    description: 'name by which the Sentinels know the master [mymaster]',
  },
  tls: { ...connection, kind: 'boolean', description: 'connect over TLS' },
  tls_server: {
    ...connection,
    kind: 'string',
    aliases: ['tls-server'],
    value: 'NAME',
    description: "name to check against the server's certificate; implies --tls",
  },
  tls_ca: {
    ...connection,
    kind: 'string',
    aliases: ['tls-ca'],
    value: 'FILE',
    description: 'PEM file of the authority that signed the server; implies --tls',
  },
  tls_cert: {
    ...connection,
    kind: 'string',
    aliases: ['tls-cert'],
    value: 'FILE',
    description: 'PEM file of the client certificate; implies --tls',
  },
  tls_key: {
    ...connection,
    kind: 'string',
    aliases: ['tls-key'],
    value: 'FILE',
    description: "PEM file of the client certificate's key; implies --tls",
  },
  insecure: { ...connection, kind: 'boolean', description: "do not verify the server's certificate" },
  nat_map: {
    ...connection,
    kind: 'strings',
    aliases: ['nat-map'],
    value: 'FROM=TO',
    description: 'reach the announced address FROM at TO (host:port both); may be repeated',
  },
  timeout: {
    ...connection,
    kind: 'string',
    value: 'DURATION',
    description: 'bound on connecting and on every call [5s]',
  },
  config: {
    ...connection,
    setting: false,
    kind: 'string',
    value: 'FILE',
    description: 'config file [$HOME/.asynq.yaml, .yml or .json]',
  },
  context: {
    ...connection,
    setting: false,
    kind: 'string',
    value: 'NAME',
    description: 'connection to use, of those that "asynq context ls" shows (also: ASYNQ_CONTEXT)',
  },
  strict: {
    ...safety,
    kind: 'boolean',
    description: 'refuse a config file that holds a password and that others can read',
  },
  read_only: {
    ...safety,
    kind: 'boolean',
    aliases: ['read-only'],
    description: 'refuse every command that changes something, before anything is sent',
  },
  audit_log: {
    ...safety,
    kind: 'string',
    aliases: ['audit-log'],
    value: 'FILE',
    description: 'append a line of JSON to FILE for every command that changes something',
  },
  redact: {
    ...safety,
    kind: 'strings',
    value: 'PATH,...',
    description:
      'mask parts of tasks: payload, payload.card, header.auth, error, result; adds to what the config file masks, "none" lifts it',
  },
  reason: {
    ...safety,
    setting: false,
    kind: 'string',
    value: 'TEXT',
    description: 'why, for the audit log',
  },
  output: {
    ...output,
    kind: 'string',
    char: 'o',
    value: 'FORMAT',
    description: 'table, wide, json, jsonl, yaml, csv or name [table]',
  },
  json: { ...output, kind: 'boolean', description: 'the same as --output json' },
  columns: {
    ...output,
    kind: 'string',
    value: 'A,B',
    description: 'columns to print, in this order; "help" lists them',
  },
  sort: {
    ...output,
    kind: 'string',
    value: '[-]COLUMN,...',
    description: 'sort by columns; "-" for descending',
  },
  filter: {
    ...output,
    kind: 'strings',
    value: 'EXPR',
    description:
      'rows to keep: column=glob, column!=glob, column>value, column<value, as in latency>5m; repeated = and',
  },
  limit: { ...output, kind: 'string', value: 'N', description: 'print at most N rows' },
  query: {
    ...output,
    kind: 'string',
    value: 'JMESPATH',
    description: 'print what this selects from the JSON document',
  },
  raw: {
    ...output,
    kind: 'boolean',
    description: 'durations in ms, sizes in bytes; with --query texts without quotes',
  },
  time: {
    ...output,
    kind: 'string',
    value: 'FORMAT',
    description: 'how tables show times: relative, iso or unix [relative on a terminal, else iso]',
  },
  out: {
    ...output,
    kind: 'string',
    value: 'FILE',
    description: 'write the data to FILE, as a whole or not at all',
  },
  watch: {
    ...output,
    kind: 'boolean',
    char: 'w',
    valueTo: 'interval',
    description: 'print again and again until Ctrl-C; --watch=5s sets the interval',
  },
  interval: {
    ...output,
    kind: 'string',
    value: 'DURATION',
    description: 'time between two prints of --watch [2s]',
  },
  quiet: { ...output, kind: 'boolean', description: 'no remarks on stderr, errors only' },
  debug: {
    ...output,
    kind: 'boolean',
    description: 'say on stderr what was sent where and how long it took; never values or secrets',
  },
  'no-header': { ...output, kind: 'boolean', aliases: ['no_header'], description: 'leave out the header' },
  'no-color': {
    ...output,
    kind: 'boolean',
    aliases: ['no_color'],
    description: 'no colour (also: NO_COLOR)',
  },
} as const satisfies Readonly<Record<string, GlobalFlag>>

export type GlobalFlagName = keyof typeof GLOBAL_FLAGS
export const globalFlagEntries = Object.entries(GLOBAL_FLAGS) as readonly (readonly [
  GlobalFlagName,
  GlobalFlag,
])[]

/** Environment variable of a setting. */
export const envName = (flag: string): string => `ASYNQ_${flag.toUpperCase().replaceAll('-', '_')}`

/** Values of the global flags wherever they come from: flags, environment or file. */
export type Settings = Readonly<Partial<Record<GlobalFlagName, string | boolean | readonly string[]>>>
