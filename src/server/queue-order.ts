/** Order in which queues are tried for one dequeue. Pure but for the `random` given (0 <= x < 1). */
export function queueOrder(
  weights: ReadonlyMap<string, number>,
  options: { readonly strict: boolean; readonly random: () => number },
): readonly string[] {
  const names = [...weights.keys()]
  if (options.strict) return names.sort((a, b) => weights.get(b)! - weights.get(a)!)
  // Draw without putting back, each queue with the chance of its weight: the same distribution as shuffling a list that
  // holds every name as often as its weight, without the list.
  const left = new Map(weights)
  const order: string[] = []
  let total = [...left.values()].reduce((sum, weight) => sum + weight, 0)
  while (left.size > 0) {
    let draw = options.random() * total
    let chosen = ''
    for (const [name, weight] of left) {
      chosen = name
      draw -= weight
      if (draw < 0) break
    }
    order.push(chosen)
    total -= left.get(chosen)!
    left.delete(chosen)
  }
  return order
}
