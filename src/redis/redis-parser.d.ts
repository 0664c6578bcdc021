declare module 'redis-parser' {
  /** Turns bytes of RESP2 into replies, in order. */
  export default class RedisParser {
    constructor(options: {
      returnReply: (reply: unknown) => void
      returnError: (error: Error) => void
      returnFatalError: (error: Error) => void
      returnBuffers: boolean
    })
    execute(chunk: Buffer): void
  }
}
