/**
 * Seed of the property tests: `ASYNQ_TEST_SEED` replays a run, else it is a new one each time. The tests print it.
 */
export const SEED: number = (() => {
  const given = process.env['ASYNQ_TEST_SEED']
  if (given === undefined || given === '') return Math.floor(Math.random() * 2 ** 31)
  const seed = Number(given)
  if (!Number.isInteger(seed)) throw new Error(`ASYNQ_TEST_SEED is not a whole number: ${given}`)
  return seed
})()

/** Says what a property test did, and how to do it again. */
export function report(what: string): void {
  process.stdout.write(`      ${what}; replay with ASYNQ_TEST_SEED=${SEED}\n`)
}
