import { UnavailableError, type AsynqError, type ConnectFailureReason } from '../errors.js'

const BY_REASON: Partial<Readonly<Record<ConnectFailureReason, string>>> = {
  refused: 'is the server running there? Name it with --uri, or a cluster with --cluster_addrs',
  'auth-required': 'set ASYNQ_PASSWORD (and ASYNQ_USERNAME for an ACL user) or use --password_file',
  'auth-failed': 'check ASYNQ_USERNAME and ASYNQ_PASSWORD, or --username and --password_file',
  'not-a-cluster': 'leave out --cluster and use --uri for a single server',
  'is-a-cluster': 'add --cluster (or --cluster_addrs HOST:PORT,...)',
  tls: 'check --tls, --tls_ca and --tls_server; --insecure skips the check of the certificate',
  'timed-out': 'the address may be announced behind NAT (--nat_map), or need --tls; --timeout waits longer',
}

/** What to try next, after an error. Only here do errors meet flag names. */
export function hintsFor(error: AsynqError): readonly string[] {
  if (error instanceof UnavailableError) {
    if (error.outcomeUnknown) {
      return ['the command was sent but its answer was lost: look before you repeat it']
    }
    const reasons = new Set(error.failures.map(({ reason }) => reason))
    return [...reasons].flatMap((reason) => BY_REASON[reason] ?? [])
  }
  return []
}
