package main

import (
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

type manager struct{ *asynq.PeriodicTaskManager }

func (m manager) handled() any { return nil }
func (m manager) quiet()       {}
func (m manager) stop()        { m.PeriodicTaskManager.Shutdown() }

type provider []entry

func (p provider) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) {
	configs := []*asynq.PeriodicTaskConfig{}
	for _, e := range p {
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
	verbs["managePeriodic"] = on(func(p *peer, in schedulerOptions) (any, error) {
		m, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{
			PeriodicTaskConfigProvider: provider(in.Entries),
			RedisConnOpt:               p.redis,
			SchedulerOpts:              beats(),
			SyncInterval:               time.Second,
		})
		if err != nil {
			return nil, err
		}
		if err := p.start(in.Name, manager{m}); err != nil {
			return nil, err
		}
		return nil, m.Start()
	})
}
