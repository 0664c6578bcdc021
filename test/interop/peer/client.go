package main

import (
	"time"

	"github.com/hibiken/asynq"
)

// task is a task with its options, as commands name them. Absent and zero options are not passed on to asynq.
type task struct {
	Type        string            `json:"type"`
	Payload     []byte            `json:"payload"`
	Headers     map[string]string `json:"headers"`
	Queue       string            `json:"queue"`
	ID          string            `json:"id"`
	MaxRetry    *int              `json:"maxRetry"`
	TimeoutMs   int64             `json:"timeoutMs"`
	DeadlineMs  int64             `json:"deadlineMs"`
	UniqueTtlMs int64             `json:"uniqueTtlMs"`
	ProcessAtMs int64             `json:"processAtMs"`
	ProcessInMs int64             `json:"processInMs"`
	RetentionMs int64             `json:"retentionMs"`
	Group       string            `json:"group"`
}

func (t task) asynq() *asynq.Task {
	return asynq.NewTaskWithHeaders(t.Type, t.Payload, t.Headers)
}

func (t task) options() []asynq.Option {
	var options []asynq.Option
	add := func(wanted bool, option asynq.Option) {
		if wanted {
			options = append(options, option)
		}
	}
	if t.MaxRetry != nil {
		options = append(options, asynq.MaxRetry(*t.MaxRetry))
	}
	add(t.Queue != "", asynq.Queue(t.Queue))
	add(t.ID != "", asynq.TaskID(t.ID))
	add(t.TimeoutMs > 0, asynq.Timeout(duration(t.TimeoutMs)))
	add(t.DeadlineMs > 0, asynq.Deadline(time.UnixMilli(t.DeadlineMs)))
	add(t.UniqueTtlMs > 0, asynq.Unique(duration(t.UniqueTtlMs)))
	add(t.ProcessAtMs > 0, asynq.ProcessAt(time.UnixMilli(t.ProcessAtMs)))
	add(t.ProcessInMs > 0, asynq.ProcessIn(duration(t.ProcessInMs)))
	add(t.RetentionMs > 0, asynq.Retention(duration(t.RetentionMs)))
	add(t.Group != "", asynq.Group(t.Group))
	return options
}

func duration(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// unixMs is 0 for Go's zero time.
func unixMs(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func init() {
	verbs["enqueue"] = on(func(p *peer, tasks []task) (any, error) {
		infos := []taskView{}
		for _, t := range tasks {
			info, err := p.client.Enqueue(t.asynq(), t.options()...)
			if err != nil {
				return nil, err
			}
			infos = append(infos, viewTask(info))
		}
		return infos, nil
	})
}
