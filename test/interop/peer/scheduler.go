package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

type entry struct {
	Spec string `json:"spec"`
	Task task   `json:"task"`
}

type schedulerOptions struct {
	Name    string  `json:"name"`
	Entries []entry `json:"entries"`
}

type scheduler struct{ *asynq.Scheduler }

func (s scheduler) handled() any { return nil }
func (s scheduler) quiet()       {}
func (s scheduler) stop()        { s.Scheduler.Shutdown() }

type manager struct {
	*asynq.PeriodicTaskManager
	*provider
}

func (m manager) handled() any { return nil }
func (m manager) quiet()       {}
func (m manager) stop()        { m.PeriodicTaskManager.Shutdown() }

// provider names the periodic tasks that there are to be; they may be replaced at any time.
type provider struct{ entries atomic.Pointer[[]entry] }

func (p *provider) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) {
	configs := []*asynq.PeriodicTaskConfig{}
	for _, e := range *p.entries.Load() {
		configs = append(configs, &asynq.PeriodicTaskConfig{
			Cronspec: e.Spec, Task: e.Task.asynq(), Opts: e.Task.options(),
		})
	}
	return configs, nil
}

func beats() *asynq.SchedulerOpts {
	return &asynq.SchedulerOpts{LogLevel: asynq.FatalLevel, HeartbeatInterval: time.Second}
}

func init() {
	// Answers with the ids of the entries.
	verbs["schedule"] = on(func(p *peer, in schedulerOptions) (any, error) {
		s := scheduler{asynq.NewScheduler(p.redis, beats())}
		ids := []string{}
		for _, e := range in.Entries {
			id, err := s.Register(e.Spec, e.Task.asynq(), e.Task.options()...)
			if err != nil {
				return nil, err
			}
			ids = append(ids, id)
		}
		if err := p.start(in.Name, s); err != nil {
			return nil, err
		}
		return ids, s.Start()
	})
	verbs["manage"] = on(func(p *peer, in schedulerOptions) (any, error) {
		entries := &provider{}
		entries.entries.Store(&in.Entries)
		m, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{
			PeriodicTaskConfigProvider: entries,
			RedisConnOpt:               p.redis,
			SchedulerOpts:              beats(),
			SyncInterval:               time.Second,
		})
		if err != nil {
			return nil, err
		}
		if err := p.start(in.Name, manager{m, entries}); err != nil {
			return nil, err
		}
		return nil, m.Start()
	})
	verbs["replace"] = on(func(p *peer, in schedulerOptions) (any, error) {
		r, err := p.named(in.Name)
		if err != nil {
			return nil, err
		}
		m, ok := r.(manager)
		if !ok {
			return nil, fmt.Errorf("%q is no periodic task manager", in.Name)
		}
		m.entries.Store(&in.Entries)
		return nil, nil
	})
}
