export { formatDuration, parseDuration, parsePositiveDuration, parseTime } from '../units.js'
