package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

type serverOptions struct {
	Name         string         `json:"name"`
	Queues       map[string]int `json:"queues"`
	Strict       bool           `json:"strict"`
	Concurrency  int            `json:"concurrency"`
	RetryDelayMs int64          `json:"retryDelayMs"`
	// JanitorMs is the interval between two removals of completed tasks.
	JanitorMs int64 `json:"janitorMs"`
	// A group of so many tasks becomes one task "aggregated", its payload theirs with commas between.
	GroupMaxSize int `json:"groupMaxSize"`
	// Behaviours says what the handler does by task type: ok (the default), fail, skip, revoke, result, hang.
	Behaviours map[string]string `json:"behaviours"`
}

type handledTask struct {
	ID       string            `json:"id"`
	Queue    string            `json:"queue"`
	Type     string            `json:"type"`
	Payload  []byte            `json:"payload"`
	Headers  map[string]string `json:"headers"`
	Retried  int               `json:"retried"`
	MaxRetry int               `json:"maxRetry"`
	// DeadlineInMs is how long the handler may take, 0 for no limit.
	DeadlineInMs int64 `json:"deadlineInMs"`
}

type server struct {
	*asynq.Server
	mutex sync.Mutex
	tasks []handledTask
}

func (s *server) handled() any {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]handledTask{}, s.tasks...)
}
func (s *server) quiet() { s.Server.Stop() }
func (s *server) stop()  { s.Server.Shutdown() }

func (s *server) handle(behaviours map[string]string) asynq.HandlerFunc {
	return func(ctx context.Context, t *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		queue, _ := asynq.GetQueueName(ctx)
		retried, _ := asynq.GetRetryCount(ctx)
		maxRetry, _ := asynq.GetMaxRetry(ctx)
		var deadlineInMs int64
		if deadline, limited := ctx.Deadline(); limited {
			deadlineInMs = time.Until(deadline).Milliseconds()
		}
		s.mutex.Lock()
		s.tasks = append(s.tasks, handledTask{
			id, queue, t.Type(), t.Payload(), t.Headers(), retried, maxRetry, deadlineInMs,
		})
		s.mutex.Unlock()
		switch behaviours[t.Type()] {
		case "fail":
			return errors.New("failed by Go")
		case "skip":
			return fmt.Errorf("skipped by Go: %w", asynq.SkipRetry)
		case "revoke":
			return fmt.Errorf("revoked by Go: %w", asynq.RevokeTask)
		case "result":
			_, err := t.ResultWriter().Write([]byte("from Go"))
			return err
		case "hang":
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
}

// join makes one task of many. One that is to hang never returns: its process is going to be killed.
func join(group string, tasks []*asynq.Task) *asynq.Task {
	payloads := []string{}
	for _, t := range tasks {
		if t.Type() == "hang" {
			select {}
		}
		payloads = append(payloads, string(t.Payload()))
	}
	return asynq.NewTask("aggregated", []byte(group+":"+strings.Join(payloads, ",")))
}

func init() {
	verbs["serve"] = on(func(p *peer, in serverOptions) (any, error) {
		config := asynq.Config{
			Concurrency:              in.Concurrency,
			Queues:                   in.Queues,
			StrictPriority:           in.Strict,
			TaskCheckInterval:        100 * time.Millisecond,
			DelayedTaskCheckInterval: 200 * time.Millisecond,
			JanitorInterval:          duration(in.JanitorMs),
			ShutdownTimeout:          time.Second,
			LogLevel:                 asynq.FatalLevel,
			RetryDelayFunc: func(int, error, *asynq.Task) time.Duration {
				return duration(in.RetryDelayMs)
			},
		}
		if in.GroupMaxSize > 0 {
			config.GroupGracePeriod = time.Second
			config.GroupMaxSize = in.GroupMaxSize
			config.GroupAggregator = asynq.GroupAggregatorFunc(join)
		}
		s := &server{Server: asynq.NewServer(p.redis, config)}
		if err := p.start(in.Name, s); err != nil {
			return nil, err
		}
		return nil, s.Start(s.handle(in.Behaviours))
	})
}
