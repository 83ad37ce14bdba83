package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/internal/maintenance"
	"github.com/bellwetherdb/bellwether/replicator/verify"
)

// passwordVariable holds the password for --user, so that no command line shows it.
const passwordVariable = "BELLWETHER_PASSWORD"

// access are the flags of commands that talk to the nodes themselves.
type access struct{ config, user, leader string }

func (a *access) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&a.config, "config", "c", "", "configuration file (YAML)")
	f.StringVar(&a.user, "user", "", "account for the work; its password is taken from "+passwordVariable+" (default: cluster.user)")
	f.StringVar(&a.leader, "leader", "", "the node that leads (default: the one that is not read-only)")
	_ = cmd.MarkFlagRequired("config")
}

func (a *access) load() (*maintenance.Access, error) {
	cfg, err := configs.Load(a.config)
	if err != nil {
		return nil, err
	}
	m := &maintenance.Access{Config: cfg, User: a.user, Leader: a.leader}
	if a.user != "" {
		m.Password = os.Getenv(passwordVariable)
	}
	return m, nil
}

func verifyCommand() *cobra.Command {
	var a access
	var o maintenance.VerifyOptions
	cmd := &cobra.Command{
		Use:   "verify --config FILE [FOLLOWER...]",
		Short: "Compare followers with the leader, and name the rows that differ",
		Long: `Compare all tables of the followers with the leader's by checksum, while all are in
use, and print each row that differs. The account must be allowed to read everything
(SELECT ON *.*); the few rows that seem to differ are locked for a moment. Exits with 0 when nothing differs.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.load()
			if err != nil {
				return err
			}
			o.Followers, o.Progress = args, cmd.ErrOrStderr()
			start := time.Now()
			res, err := maintenance.Verify(cmd.Context(), m, o)
			if err != nil {
				return err
			}
			if !writeVerified(cmd.OutOrStdout(), res, time.Since(start)) {
				return errSilent
			}
			return nil
		},
	}
	a.flags(cmd)
	cmd.Flags().Uint64Var(&o.ChunkRows, "rows", 20_000, "rows that are compared at a time, about")
	cmd.Flags().DurationVar(&o.Pause, "pause", 0, "wait between two comparisons, to go gently")
	return cmd
}

// writeVerified tells people what differs, and returns whether nothing does.
func writeVerified(w io.Writer, r *verify.Result, took time.Duration) bool {
	for _, d := range r.Differences {
		fmt.Fprintln(w, d)
	}
	verdict := "all equal"
	if n := len(r.Differences); n > 0 {
		verdict = fmt.Sprintf("%d differences", n)
	}
	fmt.Fprintf(w, "%s: %d tables, %d rows of the leader, in %s\n", verdict, r.Tables, r.Rows, took.Round(time.Millisecond))
	return len(r.Differences) == 0
}

// asVariable holds the password for --as.
const asVariable = "BELLWETHER_AS_PASSWORD"

func handoverCommand() *cobra.Command {
	var config, leader, to string
	var o maintenance.HandoverOptions
	cmd := &cobra.Command{
		Use:   "handover --config FILE --to native|engine [FOLLOWER...]",
		Short: "Let the servers replicate by themselves, or Bellwether, from where they stand",
		Long: `Hand followers over between Bellwether's own replication and the servers', each at the exact
position where it stands. No proxy may replicate meanwhile: stop it first. The configuration is the one with
replication.mode engine, whose replication.user does the work. Afterwards start the proxy
with the mode that was handed over to.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if to != "native" && to != "engine" {
				return fmt.Errorf("--to is %q: give native or engine", to)
			}
			cfg, err := configs.Load(config)
			if err != nil {
				return err
			}
			o.Native, o.Followers, o.Password = to == "native", args, os.Getenv(asVariable)
			done, err := maintenance.Handover(cmd.Context(), &maintenance.Access{Config: cfg, Leader: leader}, o)
			for _, d := range done {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s from %s\n", d.Follower, to, d.Position)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&config, "config", "c", "", "configuration file (YAML)")
	f.StringVar(&leader, "leader", "", "the node that leads (default: the one that is not read-only)")
	f.StringVar(&to, "to", "", "native or engine")
	f.StringVar(&o.As, "as", "", "account by which the servers follow the leader; its password is taken from "+asVariable+" (default: replication.user)")
	_ = cmd.MarkFlagRequired("config")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func cloneCommand() *cobra.Command {
	var a access
	o := maintenance.CloneOptions{}
	limit := configs.ByteSize(0)
	still := false
	cmd := &cobra.Command{
		Use:   "clone --config FILE NODE",
		Short: "Fill a server with a copy of the leader, and let it follow",
		Long: `Copy the leader to another server of the configuration while the leader works, at one
exact position, and let the server replicate from there by itself (replication.user).
A copy that was cut short goes on where it was when the command is given again.
The account needs all rights on both servers: it makes accounts and sets positions.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.load()
			if err != nil {
				return err
			}
			if m.Config.Replication.Mode == "engine" {
				return fmt.Errorf("with replication.mode engine the proxy copies an empty server by itself; for one with data, give bellwether repair %s", args[0])
			}
			o.Node, o.Follow, o.MaxBytesPerSecond = args[0], !still, int64(limit)
			o.Progress, o.Logger = cmd.ErrOrStderr(), slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			res, err := maintenance.Clone(cmd.Context(), m, o)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			for _, warning := range res.Warnings {
				fmt.Fprintf(w, "warning: %s\n", warning)
			}
			fmt.Fprintf(w, "%s is a copy at %s: %d tables, %d rows copied", o.Node, res.Position, res.Tables, res.Rows)
			if res.RangesReused > 0 {
				fmt.Fprintf(w, ", %d of %d ranges were equal", res.RangesReused, res.Ranges)
			}
			fmt.Fprintln(w)
			return nil
		},
	}
	a.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.Overwrite, "overwrite", false, "the server may have data, which is lost")
	f.BoolVar(&o.Repair, "repair", false, "the server has data: keep what is equal, and copy only what differs")
	f.BoolVar(&still, "stand-still", false, "do not let it replicate afterwards")
	f.IntVar(&o.Workers, "workers", 4, "connections to each side")
	f.Var(byteSize{&limit}, "limit", "bytes of rows per second at most, such as 20MiB (default: no limit)")
	f.IntVar(&o.MaxLeaderThreads, "max-threads-running", 0, "wait while the leader runs more statements than this (default: never)")
	return cmd
}

// byteSize is a size in human units as a flag.
type byteSize struct{ size *configs.ByteSize }

func (b byteSize) String() string {
	if b.size == nil || *b.size == 0 {
		return ""
	}
	return b.size.String()
}

func (b byteSize) Type() string { return "size" }

func (b byteSize) Set(text string) (err error) {
	*b.size, err = configs.ParseByteSize(text)
	return err
}
