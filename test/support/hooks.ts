import { stopAllServers } from './servers.js'
import { endWorkloads } from './workload.js'

export const mochaHooks = {
  async afterAll() {
    await Promise.all([endWorkloads(), stopAllServers()])
  },
}
