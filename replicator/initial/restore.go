package initial

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/replicator/node"
)

// writer is a connection to the follower that leaves nothing in its binlog and
// checks no foreign keys.
func (p *Plan) writer(ctx context.Context, session ...string) (*sql.Conn, error) {
	c, err := p.Follower.DB.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the follower: %w", err)
	}
	session = append(session, "SET SESSION sql_log_bin=0", "SET SESSION foreign_key_checks=0", "SET SESSION wait_timeout=86400")
	if !p.Follower.IsMariaDB() {
		session = append(session, "SET SESSION sql_generate_invisible_primary_key=0", "SET SESSION sql_require_primary_key=0")
	}
	if err := node.Exec(ctx, c, session...); err != nil {
		mysqlconn.Discard(c)
		return nil, err
	}
	return c, nil
}

// prepareSchemas makes schemas and empty tables. With reuse, tables that are
// as on the leader stay; whatever else the follower has goes.
func (p *Plan) prepareSchemas(ctx context.Context, s *structure, reuse bool) error {
	c, err := p.writer(ctx, structureSession(p.Follower)...)
	if err != nil {
		return err
	}
	defer mysqlconn.Discard(c)
	has := &Plan{Leader: p.Follower} // to read the follower's structure in the same words
	have, err := has.readStructure(ctx)
	if err != nil {
		return fmt.Errorf("read what the follower has: %w", err)
	}
	for i := range have.programs {
		if o := &have.programs[i]; o.kind != "PACKAGE BODY" {
			if err := node.Exec(ctx, c, "DROP "+o.kind+" IF EXISTS "+o.quoted()); err != nil {
				return err
			}
		}
	}
	for _, name := range have.schemas {
		if s.create[name] != "" && s.create[name] == have.create[name] && reuse {
			continue
		}
		if err := node.Exec(ctx, c, "DROP DATABASE "+mysqlconn.QuoteName(name)); err != nil {
			return err
		}
		delete(have.create, name)
	}
	for _, name := range s.schemas {
		if have.create[name] == "" {
			if err := node.Exec(ctx, c, s.create[name]); err != nil {
				return err
			}
		}
	}
	return prepareTables(ctx, c, s, have)
}

func prepareTables(ctx context.Context, c *sql.Conn, s, have *structure) error {
	exists := make(map[string]string)
	for i := range have.tables {
		o := &have.tables[i]
		if have.create[o.schema] != "" {
			exists[o.quoted()] = Normalise(o.create)
		}
	}
	for i := range s.tables {
		o := &s.tables[i]
		same := o.kind == "TABLE" && exists[o.quoted()] == Normalise(o.create)
		if same {
			delete(exists, o.quoted())
		}
	}
	for i := range have.tables {
		o := &have.tables[i]
		if exists[o.quoted()] != "" {
			if err := node.Exec(ctx, c, "DROP "+o.kind+" "+o.quoted()); err != nil {
				return err
			}
			exists[o.quoted()] = ""
		} else if have.create[o.schema] != "" {
			exists[o.quoted()] = "stays"
		}
	}
	for i := range s.tables {
		o := &s.tables[i]
		if exists[o.quoted()] == "stays" {
			continue
		}
		if err := node.Exec(ctx, c, "USE "+mysqlconn.QuoteName(o.schema), o.create); err != nil {
			return err
		}
		if set := s.sequences[o.quoted()]; set != "" {
			if err := node.Exec(ctx, c, set); err != nil {
				return err
			}
		}
	}
	return nil
}

// createPrograms makes routines, views, triggers and events. Views that need
// others come after them: what fails is tried again while anything succeeds.
func (p *Plan) createPrograms(ctx context.Context, s *structure, res *Result) error {
	c, err := p.writer(ctx, structureSession(p.Follower)...)
	if err != nil {
		return err
	}
	defer mysqlconn.Discard(c)
	var views []*object
	for i := range s.programs {
		o := &s.programs[i]
		if o.kind == "VIEW" {
			views = append(views, o)
			continue
		}
		if o.kind == "TRIGGER" && len(views) > 0 { // triggers and events may use views
			if views, err = createViews(ctx, c, s, views); err != nil {
				return err
			}
			if views == nil {
				views = []*object{}
			}
		}
		if err := createProgram(ctx, c, s, o); err != nil {
			return fmt.Errorf("make %s: %w", o, err)
		}
	}
	if views, err = createViews(ctx, c, s, views); err != nil {
		return err
	}
	for _, v := range views {
		res.Warnings = append(res.Warnings, fmt.Sprintf("%s is not valid on the leader either and was left out", v))
		p.log().Warn("left out, as it is not valid on the leader either", "object", v.String())
	}
	return nil
}

// createViews returns the views that cannot be made: they use what is not there.
func createViews(ctx context.Context, c *sql.Conn, s *structure, views []*object) ([]*object, error) {
	for {
		var failed []*object
		for _, v := range views {
			err := createProgram(ctx, c, s, v)
			if _, _, ours := mysqlconn.ServerError(err); err != nil && !ours {
				return nil, err
			}
			if err != nil {
				failed = append(failed, v)
			}
		}
		if len(failed) == 0 || len(failed) == len(views) {
			return failed, nil
		}
		views = failed
	}
}

func createProgram(ctx context.Context, c *sql.Conn, s *structure, o *object) error {
	statements := []string{
		"USE " + mysqlconn.QuoteName(o.schema),
		"SET SESSION sql_mode='" + o.sqlMode + "'",
	}
	if o.client != "" {
		statements = append(statements, "SET character_set_client="+o.client, "SET collation_connection="+o.connection)
	}
	zone := "+00:00"
	if o.kind == "EVENT" && o.timeZone != "" {
		zone = o.timeZone
	}
	statements = append(statements, "SET SESSION time_zone='"+zone+"'")
	own := s.collation[o.schema]
	if o.database != "" && o.database != own {
		statements = append(statements, "ALTER DATABASE "+mysqlconn.QuoteName(o.schema)+" COLLATE "+o.database)
		defer func() { // the next error, if any, is the caller's to see; the schema's collation must come back
			_ = node.Exec(ctx, c, "ALTER DATABASE "+mysqlconn.QuoteName(o.schema)+" COLLATE "+own)
		}()
	}
	statements = append(statements, o.create)
	if o.kind == "EVENT" && o.status != "DISABLED" {
		// As replication would have made it. ALTER EVENT would make us its definer.
		definer := definerOf(o.create)
		statements = append(statements, "ALTER "+definer+"EVENT "+o.quoted()+" DISABLE ON SLAVE")
	}
	err := node.Exec(ctx, c, statements...)
	_ = node.Exec(ctx, c, "SET NAMES utf8mb4", "SET SESSION sql_mode=''") // where these fail, the next statement does
	return err
}

// definerOf is the DEFINER clause with which a definition begins, and a space.
func definerOf(create string) string {
	rest, ok := strings.CutPrefix(create, "CREATE DEFINER=")
	if !ok {
		return ""
	}
	end, inQuote := 0, byte(0)
	for ; end < len(rest); end++ {
		switch b := rest[end]; {
		case inQuote != 0:
			if b == inQuote {
				inQuote = 0
			}
		case b == '`' || b == '\'' || b == '"':
			inQuote = b
		case b == ' ':
			return "DEFINER=" + rest[:end] + " "
		}
	}
	return ""
}
