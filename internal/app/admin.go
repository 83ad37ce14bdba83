package app

import "context"

// runner is a part that runs until its context ends.
type runner interface{ Run(ctx context.Context) error }

// admin builds the admin side and opens its listener.
func (a *App) admin(ctx context.Context, at *Addresses) (runner, error) {
	return nil, nil
}
