package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// taskView is asynq.TaskInfo with durations in ms and instants in Unix ms, 0 for none.
type taskView struct {
	ID              string            `json:"id"`
	Queue           string            `json:"queue"`
	Type            string            `json:"type"`
	Payload         []byte            `json:"payload"`
	Headers         map[string]string `json:"headers"`
	State           string            `json:"state"`
	MaxRetry        int               `json:"maxRetry"`
	Retried         int               `json:"retried"`
	LastErr         string            `json:"lastErr"`
	LastFailedAtMs  int64             `json:"lastFailedAtMs"`
	TimeoutMs       int64             `json:"timeoutMs"`
	DeadlineMs      int64             `json:"deadlineMs"`
	Group           string            `json:"group"`
	NextProcessAtMs int64             `json:"nextProcessAtMs"`
	IsOrphaned      bool              `json:"isOrphaned"`
	RetentionMs     int64             `json:"retentionMs"`
	CompletedAtMs   int64             `json:"completedAtMs"`
	Result          []byte            `json:"result"`
}

func viewTask(t *asynq.TaskInfo) taskView {
	return taskView{
		t.ID, t.Queue, t.Type, t.Payload, t.Headers, t.State.String(), t.MaxRetry, t.Retried, t.LastErr,
		unixMs(t.LastFailedAt), t.Timeout.Milliseconds(), unixMs(t.Deadline), t.Group, unixMs(t.NextProcessAt),
		t.IsOrphaned, t.Retention.Milliseconds(), unixMs(t.CompletedAt), t.Result,
	}
}

type target struct {
	Queue   string `json:"queue"`
	ID      string `json:"id"`
	State   string `json:"state"`
	Group   string `json:"group"`
	Page    int    `json:"page"`
	Size    int    `json:"size"`
	Days    int    `json:"days"`
	Force   bool   `json:"force"`
	Payload []byte `json:"payload"`
	Entry   string `json:"entry"`
}

type dayView struct {
	Date      string `json:"date"`
	Processed int    `json:"processed"`
	Failed    int    `json:"failed"`
}

type workerView struct {
	TaskID     string `json:"taskId"`
	TaskType   string `json:"taskType"`
	Payload    []byte `json:"payload"`
	Queue      string `json:"queue"`
	StartedMs  int64  `json:"startedMs"`
	DeadlineMs int64  `json:"deadlineMs"`
}

type serverView struct {
	ID          string         `json:"id"`
	Host        string         `json:"host"`
	PID         int            `json:"pid"`
	Concurrency int            `json:"concurrency"`
	Queues      map[string]int `json:"queues"`
	Strict      bool           `json:"strict"`
	StartedMs   int64          `json:"startedMs"`
	Status      string         `json:"status"`
	Workers     []workerView   `json:"workers"`
}

type entryView struct {
	ID      string   `json:"id"`
	Spec    string   `json:"spec"`
	Type    string   `json:"type"`
	Payload []byte   `json:"payload"`
	Options []string `json:"options"`
	NextMs  int64    `json:"nextMs"`
	PrevMs  int64    `json:"prevMs"`
}

type eventView struct {
	TaskID       string `json:"taskId"`
	EnqueuedAtMs int64  `json:"enqueuedAtMs"`
}

func page(in target) []asynq.ListOption {
	var options []asynq.ListOption
	if in.Page > 0 {
		options = append(options, asynq.Page(in.Page))
	}
	if in.Size > 0 {
		options = append(options, asynq.PageSize(in.Size))
	}
	return options
}

func listTasks(p *peer, in target) (any, error) {
	list := map[string]func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
		"pending":   p.inspector.ListPendingTasks,
		"active":    p.inspector.ListActiveTasks,
		"scheduled": p.inspector.ListScheduledTasks,
		"retry":     p.inspector.ListRetryTasks,
		"archived":  p.inspector.ListArchivedTasks,
		"completed": p.inspector.ListCompletedTasks,
		"aggregating": func(queue string, options ...asynq.ListOption) ([]*asynq.TaskInfo, error) {
			return p.inspector.ListAggregatingTasks(queue, in.Group, options...)
		},
	}[in.State]
	if list == nil {
		return nil, fmt.Errorf("no tasks are listed by state %q", in.State)
	}
	infos, err := list(in.Queue, page(in)...)
	views := []taskView{}
	for _, info := range infos {
		views = append(views, viewTask(info))
	}
	return views, err
}

// changeAll makes a verb of asynq's functions for each state.
func changeAll(byState func(*asynq.Inspector) map[string]func(string) (int, error),
	group func(*asynq.Inspector, string, string) (int, error)) verb {
	return on(func(p *peer, in target) (any, error) {
		if in.State == "aggregating" {
			return group(p.inspector, in.Queue, in.Group)
		}
		change := byState(p.inspector)[in.State]
		if change == nil {
			return nil, fmt.Errorf("asynq does not do this to all %s tasks", in.State)
		}
		return change(in.Queue)
	})
}

// tripCounter counts what is sent and waited for, one command or one pipeline, and makes each wait for so long more.
type tripCounter struct {
	trips atomic.Int64
	delay time.Duration
}

func (c *tripCounter) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *tripCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.trips.Add(1)
		time.Sleep(c.delay)
		return next(ctx, cmd)
	}
}
func (c *tripCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.trips.Add(1)
		time.Sleep(c.delay)
		return next(ctx, cmds)
	}
}

// measureStats reads the facts of all queues as Go's `asynq stats` does: one queue after the other.
func measureStats(p *peer, in struct {
	DelayMs int64 `json:"delayMs"`
}) (any, error) {
	client, ok := p.redis.MakeRedisClient().(redis.UniversalClient)
	if !ok {
		return nil, errors.New("no redis client")
	}
	defer client.Close()
	counter := &tripCounter{delay: duration(in.DelayMs)}
	client.AddHook(counter)
	inspector := asynq.NewInspectorFromRedisClient(client)
	// Connections and scripts are there already when the time is taken.
	if _, err := inspector.Queues(); err != nil {
		return nil, err
	}
	counter.trips.Store(0)
	start := time.Now()
	queues, err := inspector.Queues()
	if err != nil {
		return nil, err
	}
	size := 0
	for _, queue := range queues {
		info, err := inspector.GetQueueInfo(queue)
		if err != nil {
			return nil, err
		}
		size += info.Size
	}
	ms := float64(time.Since(start).Microseconds()) / 1000
	return map[string]any{"queues": len(queues), "size": size, "trips": counter.trips.Load(), "ms": ms}, nil
}

func init() {
	verbs["queues"] = func(p *peer, _ json.RawMessage) (any, error) { return p.inspector.Queues() }
	verbs["queue"] = on(func(p *peer, in target) (any, error) {
		q, err := p.inspector.GetQueueInfo(in.Queue)
		if err != nil {
			return nil, err
		}
		return map[string]any{
			"queue": q.Queue, "memoryBytes": q.MemoryUsage, "latencyMs": q.Latency.Milliseconds(), "size": q.Size,
			"groups": q.Groups, "paused": q.Paused,
			"counts": map[string]int{
				"pending": q.Pending, "active": q.Active, "scheduled": q.Scheduled, "retry": q.Retry,
				"archived": q.Archived, "completed": q.Completed, "aggregating": q.Aggregating,
			},
			"processed": q.Processed, "failed": q.Failed,
			"processedTotal": q.ProcessedTotal, "failedTotal": q.FailedTotal,
		}, nil
	})
	verbs["history"] = on(func(p *peer, in target) (any, error) {
		days, err := p.inspector.History(in.Queue, in.Days)
		views := []dayView{}
		for _, d := range days {
			views = append(views, dayView{d.Date.UTC().Format("2006-01-02"), d.Processed, d.Failed})
		}
		return views, err
	})
	verbs["groups"] = on(func(p *peer, in target) (any, error) {
		groups, err := p.inspector.Groups(in.Queue)
		sizes := map[string]int{}
		for _, g := range groups {
			sizes[g.Group] = g.Size
		}
		return sizes, err
	})
	verbs["task"] = on(func(p *peer, in target) (any, error) {
		info, err := p.inspector.GetTaskInfo(in.Queue, in.ID)
		if err != nil {
			return nil, err
		}
		return viewTask(info), nil
	})
	verbs["list"] = on(listTasks)
	verbs["run"] = on(func(p *peer, in target) (any, error) { return nil, p.inspector.RunTask(in.Queue, in.ID) })
	verbs["archive"] = on(func(p *peer, in target) (any, error) { return nil, p.inspector.ArchiveTask(in.Queue, in.ID) })
	verbs["delete"] = on(func(p *peer, in target) (any, error) { return nil, p.inspector.DeleteTask(in.Queue, in.ID) })
	verbs["updatePayload"] = on(func(p *peer, in target) (any, error) {
		return nil, p.inspector.UpdateTaskPayload(in.Queue, in.ID, in.Payload)
	})
	verbs["runAll"] = changeAll(func(i *asynq.Inspector) map[string]func(string) (int, error) {
		return map[string]func(string) (int, error){
			"scheduled": i.RunAllScheduledTasks, "retry": i.RunAllRetryTasks, "archived": i.RunAllArchivedTasks,
		}
	}, (*asynq.Inspector).RunAllAggregatingTasks)
	verbs["archiveAll"] = changeAll(func(i *asynq.Inspector) map[string]func(string) (int, error) {
		return map[string]func(string) (int, error){
			"pending": i.ArchiveAllPendingTasks, "scheduled": i.ArchiveAllScheduledTasks,
			"retry": i.ArchiveAllRetryTasks,
		}
	}, (*asynq.Inspector).ArchiveAllAggregatingTasks)
	verbs["deleteAll"] = changeAll(func(i *asynq.Inspector) map[string]func(string) (int, error) {
		return map[string]func(string) (int, error){
			"pending": i.DeleteAllPendingTasks, "scheduled": i.DeleteAllScheduledTasks,
			"retry": i.DeleteAllRetryTasks, "archived": i.DeleteAllArchivedTasks,
			"completed": i.DeleteAllCompletedTasks,
		}
	}, (*asynq.Inspector).DeleteAllAggregatingTasks)
	verbs["pause"] = on(func(p *peer, in target) (any, error) { return nil, p.inspector.PauseQueue(in.Queue) })
	verbs["unpause"] = on(func(p *peer, in target) (any, error) { return nil, p.inspector.UnpauseQueue(in.Queue) })
	verbs["deleteQueue"] = on(func(p *peer, in target) (any, error) {
		return nil, p.inspector.DeleteQueue(in.Queue, in.Force)
	})
	verbs["cancel"] = on(func(p *peer, in target) (any, error) { return nil, p.inspector.CancelProcessing(in.ID) })
	verbs["servers"] = func(p *peer, _ json.RawMessage) (any, error) {
		servers, err := p.inspector.Servers()
		views := []serverView{}
		for _, s := range servers {
			workers := []workerView{}
			for _, w := range s.ActiveWorkers {
				workers = append(workers, workerView{
					w.TaskID, w.TaskType, w.TaskPayload, w.Queue, unixMs(w.Started), unixMs(w.Deadline),
				})
			}
			views = append(views, serverView{
				s.ID, s.Host, s.PID, s.Concurrency, s.Queues, s.StrictPriority, unixMs(s.Started), s.Status, workers,
			})
		}
		return views, err
	}
	verbs["entries"] = func(p *peer, _ json.RawMessage) (any, error) {
		entries, err := p.inspector.SchedulerEntries()
		views := []entryView{}
		for _, e := range entries {
			options := []string{}
			for _, o := range e.Opts {
				options = append(options, o.String())
			}
			views = append(views, entryView{
				e.ID, e.Spec, e.Task.Type(), e.Task.Payload(), options, unixMs(e.Next), unixMs(e.Prev),
			})
		}
		return views, err
	}
	verbs["events"] = on(func(p *peer, in target) (any, error) {
		events, err := p.inspector.ListSchedulerEnqueueEvents(in.Entry, page(in)...)
		views := []eventView{}
		for _, e := range events {
			views = append(views, eventView{e.TaskID, unixMs(e.EnqueuedAt)})
		}
		return views, err
	})
	verbs["placement"] = on(func(p *peer, in target) (any, error) {
		slot, err := p.inspector.ClusterKeySlot(in.Queue)
		if err != nil {
			return nil, err
		}
		nodes, err := p.inspector.ClusterNodes(in.Queue)
		addresses := []string{}
		for _, n := range nodes {
			addresses = append(addresses, n.Addr)
		}
		return map[string]any{"slot": slot, "nodes": addresses}, err
	})
	verbs["measureStats"] = on(measureStats)
}
