package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellwetherdb/bellwether/internal/admin"
)

// tokenVariable holds the token (admin.password), so that no command line shows it.
const tokenVariable = "BELLWETHER_ADMIN_PASSWORD"

func switchoverCommand() *cobra.Command {
	var address string
	var req admin.SwitchoverRequest
	cmd := &cobra.Command{
		Use:   "switchover [--to NODE] [--dry-run]",
		Short: "Make another node the leader, without an error for clients",
		Long: `Make another node the leader while all nodes live. Transactions of clients end, new
ones wait for the moment of the change. Without --to the best follower is chosen.
Where the proxy has admin.password, it is taken from ` + tokenVariable + `.
Exits with 0 when the new leader takes writes, or a dry run finds nothing against it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 90*time.Second)
			defer cancel()
			v, err := askSwitchover(ctx, adminURL(address), os.Getenv(tokenVariable), req)
			if err != nil {
				return fmt.Errorf("ask the proxy: %w", err)
			}
			if !writeSwitchover(cmd.OutOrStdout(), v) {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "admin", "http://127.0.0.1:9307", "admin address of the proxy")
	cmd.Flags().StringVar(&req.To, "to", "", "the node that is to lead")
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

func askSwitchover(ctx context.Context, url, token string, body admin.SwitchoverRequest) (*admin.SwitchoverView, error) {
	v := new(admin.SwitchoverView)
	status, err := askChange(ctx, url+"/v1/switchover", token, body, v)
	if err == nil && status != http.StatusOK && v.Error == "" {
		v.Error = http.StatusText(status)
	}
	return v, err
}

// askChange sends a request that changes something, and returns the status of the
// answer, which it reads into v.
func askChange(ctx context.Context, url, token string, body, v any) (status int, err error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(v); err != nil {
		return 0, fmt.Errorf("%s: not an answer of Bellwether: %w", resp.Status, err)
	}
	return resp.StatusCode, nil
}

// writeSwitchover tells people what was done, and returns whether it was.
func writeSwitchover(w io.Writer, v *admin.SwitchoverView) bool {
	if v.From != "" && v.To != "" {
		fmt.Fprintf(w, "%s → %s\n", v.From, v.To)
	}
	for _, s := range v.Steps {
		fmt.Fprintf(w, "  %8.1f ms  %s", s.TookMS, s.Name)
		if s.Error != "" {
			fmt.Fprintf(w, ": FAILED: %s", s.Error)
		}
		fmt.Fprintln(w)
	}
	for _, r := range v.Reasons {
		fmt.Fprintf(w, "  no: %s\n", r)
	}
	for _, r := range v.Warnings {
		fmt.Fprintf(w, "  warning: %s\n", r)
	}
	switch {
	case v.Done:
		fmt.Fprintf(w, "%s leads since %s; writes were held for %.1f ms\n", v.To, v.Position, v.HeldMS)
	case v.Error != "":
		fmt.Fprintf(w, "not done: %s\n", v.Error)
	case v.DryRun:
		fmt.Fprintln(w, "nothing speaks against it; nothing was done")
	}
	return v.Error == "" && (v.Done || v.DryRun)
}
