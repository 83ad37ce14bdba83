package history

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// counter is the sequential model of one key: a write makes the next version, a
// read gives the present one. The output of a write without an answer is -1: it
// may make any version, also after the end of the history.
var counter = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		version, seen := state.(int), output.(int)
		if input.(Kind) == Read {
			return seen == version, version
		}
		return seen == -1 || seen == version+1, version + 1
	},
	DescribeOperation: func(input, output any) string {
		if input.(Kind) == Read {
			return fmt.Sprintf("read %d", output)
		}
		return fmt.Sprintf("wrote %d", output)
	},
}

// Linearizable checks the strong reads of each key, with all its writes, against
// a single register that is written and read at once (Herlihy and Wing 1990). It
// returns the keys of which the history is not linearizable, those that Porcupine
// could not decide within timeout each, and how many strong reads there were.
func Linearizable(keys int, ops []Op, timeout time.Duration) (broken, undecided []int, reads int) {
	history := make([][]porcupine.Operation, keys)
	for _, op := range ops {
		if op.Kind != Write && (op.Kind != Read || op.Level != Strong || op.Failed) {
			continue
		}
		for _, s := range op.Seen {
			o := porcupine.Operation{ClientId: op.Session, Input: op.Kind, Call: int64(op.Start), Output: s.Version, Return: int64(op.End)}
			if op.Failed {
				o.Output, o.Return = -1, math.MaxInt64
			}
			if op.Kind == Read {
				reads++
			}
			history[s.Key] = append(history[s.Key], o)
		}
	}
	for k, h := range history {
		switch porcupine.CheckOperationsTimeout(counter, h, timeout) {
		case porcupine.Illegal:
			broken = append(broken, k)
		case porcupine.Unknown:
			undecided = append(undecided, k)
		case porcupine.Ok:
		}
	}
	return broken, undecided, reads
}
