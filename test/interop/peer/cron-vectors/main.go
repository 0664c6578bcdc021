// Prints what robfig/cron v3 makes of schedules: the data of test/unit/scheduler/schedule.test.ts.
package main

import (
	"encoding/json"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

type vector struct {
	Spec  string   `json:"spec"`
	After string   `json:"after"`
	Next  []string `json:"next"` // null: refused
}

func main() {
	winter, spring, autumn := "2024-01-31T23:59:30.5Z", "2024-03-30T12:00:00Z", "2024-10-26T12:00:00Z"
	var out []vector
	for _, c := range [][]string{
		{winter, "* * * * *", "? * ? * ?", "5 4 * * *", "*/15 * * * *", "7/20 * * * *", "10-20/4 * * * *", "50-59/30 * * * *",
			"0 0 13 * 5", "0 0 13 * FRI", "0 0 13 * */2", "0 0 */10 * 1", "0 0 */1 * 1", "0 0 1-31 * 1", "0 0 1 * 0-6", "0 0 * * 1-5", "0 12 * jan-MAR Mon,wed",
			"0,30 8-10,17 * * *", "*,5 0 * * *", ",5, 0 * * *", "0 0 31 * *", "0 0 29 2 *", "0 0 30 2 *", "0 22 * * 1-5/2", "+5 * * * *", "*-3 0 * * *", "*/99 * * * *",
			"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly",
			"@every 1h30m", "@every 1.9s", "@every 10ms", "@every -5s", "@every 0", "@every 90s",
			"TZ=Asia/Tokyo 0 9 * * *", "CRON_TZ=America/New_York 30 8 1 * *", "CRON_TZ=Asia/Kolkata @daily", "TZ= 0 9 * * *", "CRON_TZ=UTC @every 1m",
			"  0   9 * *	* ",
			"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 7", "*/0 * * * *", "5-1 * * * *",
			"1-2-3 * * * *", "1/2/3 * * * *", "a * * * *", "-1 * * * *", "* * * foo *", "* * * * fri-mon", "@reboot", "@every", "@every x", "@every 5", "@Daily", "L * * * *", "* * L * *", "0 0 * * 1#2", "0 0 15W * *",
			"TZ=Nowhere/Land * * * * *", "jan * * * *", "* * * * *,"},
		{spring, "CRON_TZ=Europe/Berlin 30 2 * * *", "CRON_TZ=Europe/Berlin 30 * * * *", "CRON_TZ=Europe/Berlin 0 3 * * *", "CRON_TZ=Europe/Berlin */20 1-3 * * *", "CRON_TZ=Europe/Berlin 30 2 31 3 *"},
		{autumn, "CRON_TZ=Europe/Berlin 30 2 * * *", "CRON_TZ=Europe/Berlin 30 * * * *", "CRON_TZ=Europe/Berlin 0 3 * * *", "CRON_TZ=Europe/Berlin */20 2 27 10 *", "CRON_TZ=America/New_York 30 1 3 11 *"},
		{"2018-11-03T12:00:00Z", "CRON_TZ=America/Sao_Paulo 0 0 * * *", "CRON_TZ=America/Sao_Paulo 30 0 * * *"},
	} {
		after, err := time.Parse(time.RFC3339Nano, c[0])
		if err != nil {
			panic(err)
		}
		for _, spec := range c[1:] {
			v := vector{Spec: spec, After: c[0]}
			if s, err := cron.ParseStandard(spec); err == nil {
				v.Next = []string{}
				for t := after.UTC(); len(v.Next) < 6; {
					if t = s.Next(t); t.IsZero() {
						break
					}
					v.Next = append(v.Next, t.UTC().Format(time.RFC3339))
				}
			}
			out = append(out, v)
		}
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		panic(err)
	}
}
