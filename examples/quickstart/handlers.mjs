// Handlers for `asynq worker run`: the default export is given a ServeMux.
export default function register(mux) {
  mux.handle('notifications:email', (task, { queue }) => {
    const { to } = JSON.parse(task.payload)
    console.log(`handled ${task.type} from queue ${queue}: mail to user ${to}`)
  })
  mux.handle('webhooks:sync', (task, { queue }) => {
    console.log(`handled ${task.type} from queue ${queue}: ${task.payload}`)
  })
  mux.handle('images:resize', (task, { queue }) => {
    console.log(`handled ${task.type} from queue ${queue}: ${task.payload}`)
  })
}
