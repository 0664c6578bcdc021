import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { PreconditionError, UsageError } from '../../errors.js'
import { checkAccess, ROLES } from '../../operations/check-access.js'

export default class ContextCheck extends BaseCommand {
  static override summary = 'Connect, and say what the user may do there.'
  static override description =
    'Asks the server by ACL DRYRUN: nothing is run that would change anything. Exit code 5 when a right is missing; the line that gives it is printed.'
  static override examples = [
    '<%= config.bin %> context check',
    '<%= config.bin %> context check prod --can operate',
  ]
  static override impact = 'read' as const
  static override args = { name: Args.string({ description: 'context; default: the one in use' }) }
  static override flags = {
    can: Flags.string({
      description: `what it must be able to do: ${ROLES.join(', ')}`,
      helpValue: 'ROLE',
      default: 'read',
    }),
  }

  protected async execute(): Promise<void> {
    const role = ROLES.find((known) => known === this.flags['can'])
    if (!role) throw new UsageError(`can: "${String(this.flags['can'])}" is unknown: use ${ROLES.join(', ')}`)
    if (this.args['name'] !== undefined) this.flags['context'] = this.args['name']
    const { name } = await this.active()
    const access = await this.withRedis((redis) => checkAccess(redis, role))
    const { user, server, mode, denied, aclSetuser } = access
    if (this.json)
      this.printDocument({
        schema: 'asynq/context-check/v1',
        context: name,
        user,
        server,
        mode,
        role,
        allowed: denied && denied.length === 0,
        denied: denied ?? [],
        aclSetuser,
      })
    else {
      this.print(`context  ${name ?? '(unnamed)'}\nserver   ${server}, ${mode}\nuser     ${user}\n`)
      const verdict =
        denied === null ? 'the server does not say' : denied.length === 0 ? 'yes' : `no: ${denied.join(', ')}`
      this.print(`${role.padEnd(7)}  ${verdict}\n`)
    }
    if (denied !== null && denied.length === 0) return
    if (!this.json) this.note(`Rights for it: ${aclSetuser}`)
    if (denied !== null)
      throw new PreconditionError(`user "${user}" may not ${role} here: ${denied.join(', ')} refused`, {
        denied,
      })
  }
}
