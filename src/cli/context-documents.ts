import type { ConfigFile, Context } from './config-file.js'
import { connectionOptions, describeTarget } from './connection-options.js'
import { AsynqError } from '../errors.js'
import type { Settings } from './global-flags.js'

const MASK = '***'

/** Addresses of a context, as text; what is wrong with it when it has none. */
export function targetOf(context: Context): string {
  // Files of certificates and passwords may be elsewhere: the address does not depend on them.
  const { password, password_file, username, tls_ca, tls_cert, tls_key, ...settings } = context.settings
  void [password, password_file, username, tls_ca, tls_cert, tls_key]
  try {
    return describeTarget(connectionOptions(settings).target)
  } catch (error) {
    if (error instanceof AsynqError) return `(${error.message})`
    throw error
  }
}

/** Settings without secrets: also those inside a uri. */
export function maskedSettings(settings: Settings): Settings {
  const masked = Object.entries(settings).map(([name, value]) => {
    if (name === 'password') return [name, MASK]
    if (name === 'uri') return [name, String(value).replace(/(\/\/[^/@]*:)[^/@]+@/, `$1${MASK}@`)]
    return [name, value]
  })
  return Object.fromEntries(masked) as Settings
}

/** What `context show` prints: everything but secrets. */
export function contextDocument(name: string | null, context: Context, config: ConfigFile) {
  const { passwordFrom, description, healthRules } = context
  const { redact, ...settings } = context.settings
  return {
    name,
    current: config.current === name,
    target: targetOf(context),
    settings: maskedSettings(settings),
    ...(passwordFrom && {
      passwordFrom:
        passwordFrom.kind === 'env'
          ? { env: passwordFrom.variable }
          : passwordFrom.kind === 'file'
            ? { file: passwordFrom.path }
            : passwordFrom.kind === 'command'
              ? { command: MASK }
              : { prompt: true },
    }),
    readOnly: context.locked ? 'locked' : context.settings.read_only === true,
    clusterIds: context.clusterIds,
    ...(description !== undefined && { description }),
    ...(healthRules !== undefined && { healthRules }),
    redact: (redact as readonly string[] | undefined) ?? [],
  }
}
