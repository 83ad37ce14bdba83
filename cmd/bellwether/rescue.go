package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/failover/executor"
)

func rescueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rescue",
		Short: "Show what returned leaders had written alone, or export it as SQL",
		Long: `A leader that returns with transactions that the present one lacks has them saved before
anything is changed there. show lists what was saved, or the transactions of one; export
writes them as SQL, to be looked at and run where they are of worth.`,
	}
	var config, dir string
	cmd.PersistentFlags().StringVar(&config, "config", "", "configuration of the proxy, for its failover.directory")
	cmd.PersistentFlags().StringVar(&dir, "dir", "bellwether-data", "failover.directory, without --config")
	where := func() (string, error) {
		if config == "" {
			return dir, nil
		}
		c, err := configs.Load(config)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(c.Failover.Directory) {
			return c.Failover.Directory, nil
		}
		return filepath.Join(filepath.Dir(config), c.Failover.Directory), nil
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "show [NAME]",
		Short: "List what was saved, or the transactions of one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := where()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				list, err := executor.Rescues(dir)
				if err == nil {
					writeRescues(cmd.OutOrStdout(), dir, list)
				}
				return err
			}
			r, err := executor.ReadRescue(dir, args[0])
			if err == nil {
				writeRescue(cmd.OutOrStdout(), r)
			}
			return err
		},
	})
	var reverse bool
	export := &cobra.Command{
		Use:   "export NAME [--reverse]",
		Short: "Write the transactions as SQL",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := where()
			if err != nil {
				return err
			}
			r, err := executor.ReadRescue(dir, args[0])
			if err != nil {
				return err
			}
			return exportRescue(cmd.OutOrStdout(), r, reverse)
		},
	}
	export.Flags().BoolVar(&reverse, "reverse", false, "what undoes them, the last one first")
	cmd.AddCommand(export)
	return cmd
}

func writeRescues(w io.Writer, dir string, list []*executor.Rescue) {
	if len(list) == 0 {
		fmt.Fprintf(w, "nothing was saved in %s\n", dir)
	}
	for _, r := range list {
		fmt.Fprintf(w, "%s  %-20s %4d transactions  %s\n", r.Saved.Format(time.RFC3339), r.Name, len(r.Transactions), r.GTIDs)
	}
}

func writeRescue(w io.Writer, r *executor.Rescue) {
	fmt.Fprintf(w, "%s: %d transactions, saved %s\nraw events: %s\n", r.Name, len(r.Transactions), r.Saved.Format(time.RFC3339), filepath.Join(r.Path, "binlog"))
	for i := range r.Transactions {
		t := &r.Transactions[i]
		fmt.Fprintf(w, "\n%s  %s  %s\n", t.GTID, t.Time.Format(time.RFC3339), answeredText(t.Answered))
		for j := range t.Changes {
			writeChange(w, &t.Changes[j])
		}
	}
}

func answeredText(yes *bool) string {
	switch {
	case yes == nil:
		return "(not known whether a client was told that it had committed)"
	case *yes:
		return "(a client was told that it had committed)"
	default:
		return "(no client of this proxy was told that it had committed)"
	}
}

func writeChange(w io.Writer, c *executor.RescuedChange) {
	if c.Kind == "statement" {
		fmt.Fprintf(w, "  %s: %s\n", c.Schema, c.Statement)
		return
	}
	fmt.Fprintf(w, "  %s %s.%s\n", c.Kind, c.Schema, c.Table)
	for i := range max(len(c.Before), len(c.After)) {
		if i < len(c.Before) {
			fmt.Fprintf(w, "    - %v\n", c.Before[i])
		}
		if i < len(c.After) {
			fmt.Fprintf(w, "    + %v\n", c.After[i])
		}
	}
}

func exportRescue(w io.Writer, r *executor.Rescue, reverse bool) error {
	for i := range r.Transactions {
		text := r.Transactions[i].SQL()
		if reverse {
			text = r.Transactions[len(r.Transactions)-1-i].Reverse()
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}
