import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TestCertificates {
  readonly dir: string
  /** Paths of PEM files. The server's certificate is for `redis.test` and 127.0.0.1. */
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly caText: string
}

/** Makes an authority and one certificate for servers and clients, with openssl. */
export function useCertificates(): () => TestCertificates {
  let certificates: TestCertificates
  before(() => {
    const dir = mkdtempSync(join(tmpdir(), 'asynq-tls-'))
    const path = (name: string) => join(dir, name)
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' })
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
      '-days',
      '2',
      '-subj',
      '/CN=test authority',
    )
    openssl('req', ...newKey, '-keyout', 'node.key', '-out', 'node.csr', '-subj', '/CN=redis.test')
    writeFileSync(path('names'), 'subjectAltName=DNS:redis.test,IP:127.0.0.1')
    openssl(
      'x509',
      '-req',
      '-in',
      'node.csr',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      'names',
      '-out',
      'node.pem',
    )
    certificates = {
      dir,
      ca: path('ca.pem'),
      cert: path('node.pem'),
      key: path('node.key'),
      caText: readFileSync(path('ca.pem'), 'utf8'),
    }
  })
  after(() => rmSync(certificates.dir, { recursive: true, force: true }))
  return () => certificates
}
