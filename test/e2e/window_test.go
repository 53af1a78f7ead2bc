package e2e

import (
	"fmt"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// The story of examples/window, with a night that is half a day away whenever this is
// run, and servers that need not stand for half an hour.
func TestWindowExampleIsReleasedByNight(t *testing.T) {
	t.Parallel()
	s := open(t)
	realm := s.invite("examples/window", "realm", 4)
	before := realm.lives()
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	s.must(err)
	opens := time.Now().In(shanghai).Add(12 * time.Hour)
	realm.edit("0 3 * * *", fmt.Sprintf("0 %d * * *", opens.Hour()))
	realm.edit("minReadySeconds: 1800", "minReadySeconds: 1")
	realm.edit("game-server:v1", "game-server:v2")
	s.push("Release v2 by day")
	realm.is(api.PhasePaused, 0, 4, opens.Format("outside of its window; the next opens Mon 2006-01-02 15:00 Asia/Shanghai"))

	realm.edit(fmt.Sprintf("0 %d * * *", opens.Hour()), "* * * * *")
	s.push("It is night")
	realm.is(api.PhaseComplete, 4, 4, "")
	s.must(stage.SameLives(before, realm.lives()))
}
