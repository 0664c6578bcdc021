// Command peer lets the interop suite drive the real Go asynq: one verb and one JSON document in, one JSON document out.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

type task struct {
	Type      string            `json:"type"`
	Payload   []byte            `json:"payload"`
	Headers   map[string]string `json:"headers"`
	Queue     string            `json:"queue"`
	ID        string            `json:"id"`
	MaxRetry  *int              `json:"maxRetry"`
	TimeoutMs int64             `json:"timeoutMs"`
	Deadline  int64             `json:"deadlineSec"`
	UniqueMs  int64             `json:"uniqueMs"`
	InMs      int64             `json:"processInMs"`
	KeepMs    int64             `json:"retentionMs"`
	Group     string            `json:"group"`
}

type request struct {
	Tasks     []task         `json:"tasks"`
	Queue     string         `json:"queue"`
	ID        string         `json:"id"`
	Queues    map[string]int `json:"queues"`
	Count     int            `json:"count"`
	Behaviour string         `json:"behaviour"`
	TimeoutMs int64          `json:"timeoutMs"`
}

func main() {
	result, err := run()
	if err != nil {
		result = map[string]any{"error": err.Error(), "kind": kindOf(err)}
	}
	json.NewEncoder(os.Stdout).Encode(result)
}

func kindOf(err error) string {
	switch {
	case errors.Is(err, asynq.ErrDuplicateTask):
		return "duplicate"
	case errors.Is(err, asynq.ErrTaskIDConflict):
		return "id-taken"
	case errors.Is(err, asynq.ErrTaskNotFound):
		return "task-not-found"
	case errors.Is(err, asynq.ErrQueueNotFound):
		return "queue-not-found"
	}
	return "other"
}

func run() (any, error) {
	if len(os.Args) != 4 {
		return nil, errors.New("usage: peer ADDRESSES VERB JSON (several addresses: a cluster)")
	}
	var in request
	if err := json.Unmarshal([]byte(os.Args[3]), &in); err != nil {
		return nil, err
	}
	addresses := strings.Split(os.Args[1], ",")
	var redis asynq.RedisConnOpt = asynq.RedisClientOpt{Addr: addresses[0]}
	if len(addresses) > 1 {
		redis = asynq.RedisClusterClientOpt{Addrs: addresses}
	}
	switch os.Args[2] {
	case "enqueue":
		return enqueue(redis, in)
	case "serve":
		return serve(redis, in)
	}
	inspector := asynq.NewInspector(redis)
	defer inspector.Close()
	switch os.Args[2] {
	case "task":
		return inspector.GetTaskInfo(in.Queue, in.ID)
	case "queue":
		return inspector.GetQueueInfo(in.Queue)
	case "queues":
		return inspector.Queues()
	case "placement":
		slot, err := inspector.ClusterKeySlot(in.Queue)
		if err != nil {
			return nil, err
		}
		nodes, err := inspector.ClusterNodes(in.Queue)
		return map[string]any{"slot": slot, "nodes": nodes}, err
	case "pause":
		return map[string]any{}, inspector.PauseQueue(in.Queue)
	case "unpause":
		return map[string]any{}, inspector.UnpauseQueue(in.Queue)
	case "servers":
		return inspector.Servers()
	case "cancel":
		return map[string]any{}, inspector.CancelProcessing(in.ID)
	case "run":
		return map[string]any{}, inspector.RunTask(in.Queue, in.ID)
	}
	return nil, fmt.Errorf("unknown verb %q", os.Args[2])
}

func enqueue(redis asynq.RedisConnOpt, in request) (any, error) {
	client := asynq.NewClient(redis)
	defer client.Close()
	var infos []*asynq.TaskInfo
	for _, t := range in.Tasks {
		var opts []asynq.Option
		add := func(wanted bool, opt asynq.Option) {
			if wanted {
				opts = append(opts, opt)
			}
		}
		ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
		if t.MaxRetry != nil {
			opts = append(opts, asynq.MaxRetry(*t.MaxRetry))
		}
		add(t.Queue != "", asynq.Queue(t.Queue))
		add(t.ID != "", asynq.TaskID(t.ID))
		add(t.TimeoutMs > 0, asynq.Timeout(ms(t.TimeoutMs)))
		add(t.Deadline > 0, asynq.Deadline(time.Unix(t.Deadline, 0)))
		add(t.UniqueMs > 0, asynq.Unique(ms(t.UniqueMs)))
		add(t.InMs > 0, asynq.ProcessIn(ms(t.InMs)))
		add(t.KeepMs > 0, asynq.Retention(ms(t.KeepMs)))
		add(t.Group != "", asynq.Group(t.Group))
		info, err := client.Enqueue(asynq.NewTaskWithHeaders(t.Type, t.Payload, t.Headers), opts...)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// serve handles count tasks, then stops. What a handler does is named by behaviour: ok, fail, skip or result.
func serve(redis asynq.RedisConnOpt, in request) (any, error) {
	var mutex sync.Mutex
	handled := []map[string]any{}
	done := make(chan struct{}, 1)
	server := asynq.NewServer(redis, asynq.Config{
		Concurrency:       5,
		Queues:            in.Queues,
		TaskCheckInterval: 200 * time.Millisecond,
		LogLevel:          asynq.FatalLevel,
		RetryDelayFunc:    func(int, error, *asynq.Task) time.Duration { return time.Hour },
	})
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		queue, _ := asynq.GetQueueName(ctx)
		retried, _ := asynq.GetRetryCount(ctx)
		maxRetry, _ := asynq.GetMaxRetry(ctx)
		mutex.Lock()
		handled = append(handled, map[string]any{
			"id": id, "queue": queue, "type": t.Type(), "payload": t.Payload(), "headers": t.Headers(),
			"retried": retried, "maxRetry": maxRetry,
		})
		if len(handled) == in.Count {
			done <- struct{}{}
		}
		mutex.Unlock()
		switch in.Behaviour {
		case "fail":
			return errors.New("failed by Go")
		case "skip":
			return fmt.Errorf("skipped by Go: %w", asynq.SkipRetry)
		case "result":
			_, err := t.ResultWriter().Write([]byte("from Go"))
			return err
		}
		return nil
	}))
	if err != nil {
		return nil, err
	}
	select {
	case <-done:
	case <-time.After(time.Duration(in.TimeoutMs) * time.Millisecond):
	}
	server.Shutdown()
	return handled, nil
}
