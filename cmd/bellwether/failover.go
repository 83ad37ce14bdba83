package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellwetherdb/bellwether/failover/executor"
	"github.com/bellwetherdb/bellwether/internal/admin"
)

func failoverCommand() *cobra.Command {
	var address string
	var req admin.FailoverRequest
	cmd := &cobra.Command{
		Use:   "failover [--to NODE] [--force] [--dry-run] | --unblock",
		Short: "Give the leader up, and make another node the leader",
		Long: `Give the leader up, whatever it does, and make another node the leader. Transactions that
are open are lost; a leader that lives is better changed by switchover. Needs failover.mode
manual or automatic. With --force it goes on where acknowledged writes may be lost; the
answer and the incident name what is known of them.
Where the proxy has admin.password, it is taken from ` + tokenVariable + `.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 90*time.Second)
			defer cancel()
			var v admin.FailoverAnswer
			status, err := askChange(ctx, adminURL(address)+"/v1/failover", os.Getenv(tokenVariable), req, &v)
			if err != nil {
				return fmt.Errorf("ask the proxy (is failover.mode off?): %w", err)
			}
			if status != http.StatusOK && v.Error == "" {
				v.Error = http.StatusText(status)
			}
			if !writeFailover(cmd.OutOrStdout(), &v) {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "admin", "http://127.0.0.1:9307", "admin address of the proxy")
	cmd.Flags().StringVar(&req.To, "to", "", "the node that is to lead")
	cmd.Flags().BoolVar(&req.Force, "force", false, "also where acknowledged writes may be lost")
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "say what speaks against it, and do nothing")
	cmd.Flags().BoolVar(&req.Unblock, "unblock", false, "nothing but this: let automatic failovers begin anew after there were too many")
	return cmd
}

// writeFailover tells people what was done, and returns whether it was.
func writeFailover(w io.Writer, v *admin.FailoverAnswer) bool {
	for _, r := range v.Reasons {
		fmt.Fprintf(w, "  no: %s\n", r)
	}
	switch {
	case v.Done:
		fmt.Fprintln(w, v.Text)
	case v.Error != "":
		fmt.Fprintf(w, "not done: %s\n", v.Error)
	case v.DryRun:
		fmt.Fprintln(w, "nothing speaks against it; nothing was done")
	}
	return v.Error == "" && (v.Done || v.DryRun)
}

func incidentsCommand() *cobra.Command {
	var address string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "incidents",
		Short: "Show the latest changes of the leader: what was seen, decided and done",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			list, err := getIncidents(ctx, fmt.Sprintf("%s/v1/incidents?limit=%d", adminURL(address), limit))
			if err != nil {
				return fmt.Errorf("ask the proxy (is failover.mode off?): %w", err)
			}
			for i := range list {
				if asJSON {
					err = json.NewEncoder(cmd.OutOrStdout()).Encode(&list[i])
				} else {
					writeIncident(cmd.OutOrStdout(), &list[i])
				}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&address, "admin", "http://127.0.0.1:9307", "admin address of the proxy")
	cmd.Flags().IntVar(&limit, "limit", 5, "how many")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object in each line")
	return cmd
}

func getIncidents(ctx context.Context, url string) ([]executor.Incident, error) {
	var list []executor.Incident
	status, err := fetchJSON(ctx, url, &list)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the proxy answers %d %s", status, http.StatusText(status))
	}
	return list, err
}

// writeIncident shows one incident as a list of what happened when.
func writeIncident(w io.Writer, i *executor.Incident) {
	fmt.Fprintf(w, "%s  %s of %s, epoch %d: %s, %s\n", i.Began.Format(time.RFC3339), i.Kind, i.From, i.Epoch, i.Outcome, i.Text)
	if i.Position != "" {
		fmt.Fprintf(w, "  %s was opened at %s\n", i.To, i.Position)
	}
	for _, n := range i.Events {
		fmt.Fprintf(w, "  %+9.0f ms  %-12s %s", n.AtMS, n.Event, n.Node)
		for _, word := range []string{n.Code, n.Text} {
			if word != "" {
				fmt.Fprintf(w, "  %s", word)
			}
		}
		fmt.Fprintln(w)
	}
}
