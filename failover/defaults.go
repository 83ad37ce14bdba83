package failover

import "time"

// Defaults is a policy that is complete but for Self, Nodes and Acks.
func Defaults() Config {
	return Config{
		Automatic:        true,
		HeartbeatTimeout: 3 * time.Second,
		ConfirmGone:      200 * time.Millisecond,
		HungTimeout:      10 * time.Second,
		Freshness:        2 * time.Second,
		Pause:            2 * time.Second,
		FenceTimeout:     5 * time.Second,
		StepTimeout:      5 * time.Second,
		MinInterval:      time.Minute,
		MaxFailovers:     3,
		Window:           time.Hour,
	}
}
