package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
)

// action is something that a client of the shop does.
type action struct {
	name   string
	weight int
	do     func(ctx context.Context, c *client) error
}

// What visitors do, who only look, and buyers, who also write.
var (
	visitorActions = []action{
		{"look at a product", 45, lookAtProduct},
		{"browse a category", 30, browse},
		{"look at own orders", 15, ownOrders},
		{"best sellers", 5, bestSellers},
	}
	buyerActions = []action{
		{"look at a product", 20, lookAtProduct},
		{"look at own orders", 10, ownOrders},
		{"order", 25, order},
		{"visit, and read back", 20, visit},
		{"look at the stock on the leader", 10, stock},
		{"send an order", 10, sendOrder},
		{"price with tax", 5, priceWithTax},
		{"compare in a read-only transaction", 5, compare},
	}
)

func pickAction(rnd *rand.Rand, from []action) *action {
	sum := 0
	for i := range from {
		sum += from[i].weight
	}
	n := rnd.IntN(sum)
	for i := range from {
		if n -= from[i].weight; n < 0 {
			return &from[i]
		}
	}
	panic("unreachable: the weights add up")
}

var errMissing = errors.New("a row is missing")

func (c *client) customer() int { return 1 + c.rnd.IntN(numCustomers) }
func (c *client) product() int  { return 1 + c.rnd.IntN(numProducts) }

func lookAtProduct(ctx context.Context, c *client) error {
	n, _, err := c.query(ctx, c.conn, "SELECT name, category, price, stock FROM products WHERE id = ?", c.product())
	if err == nil && n != 1 {
		return errMissing
	}
	return err
}

func browse(ctx context.Context, c *client) error {
	category := categories[c.rnd.IntN(len(categories))]
	_, _, err := c.query(ctx, c.conn, "SELECT id, name, price FROM products WHERE category = ? ORDER BY price LIMIT 20", category)
	return err
}

func ownOrders(ctx context.Context, c *client) error {
	_, _, err := c.query(ctx, c.conn, "SELECT o.id, o.status, o.placed_at, SUM(i.quantity * i.price) AS total"+
		" FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.customer_id = ?"+
		" GROUP BY o.id ORDER BY o.id DESC LIMIT 10", c.customer())
	return err
}

func bestSellers(ctx context.Context, c *client) error {
	_, _, err := c.query(ctx, c.conn, "SELECT p.category, COUNT(*), SUM(i.quantity) FROM order_items i"+
		" JOIN products p ON p.id = i.product_id WHERE i.order_id > ? GROUP BY p.category ORDER BY 3 DESC", c.rnd.IntN(numOrders))
	return err
}

// visit notes a new, higher number in a customer's row and reads it at once: the
// session must see its own write, whichever node it reads from.
func visit(ctx context.Context, c *client) error {
	id, ticket := c.customer(), int64(c.load.ticket.Add(1))
	if _, err := c.exec(ctx, c.conn, "UPDATE customers SET visits = GREATEST(visits, ?) WHERE id = ?", ticket, id); err != nil {
		return err
	}
	n, got, err := c.query(ctx, c.conn, "SELECT visits FROM customers WHERE id = ?", id)
	switch {
	case err != nil:
		return err
	case n != 1:
		return errMissing
	case got < ticket:
		return errors.New("a session did not see its own write")
	}
	c.load.readBack.Add(1)
	return nil
}

// stock asks for the leader's present.
func stock(ctx context.Context, c *client) error {
	_, _, err := c.query(ctx, c.conn, "/* bellwether: target=leader */ SELECT stock FROM products WHERE id = ?", c.product())
	return err
}

func order(ctx context.Context, c *client) error {
	first := 1 + c.rnd.IntN(numProducts-2)
	return c.transaction(ctx, nil, func(tx *sql.Tx) error {
		n, _, err := c.query(ctx, tx, "SELECT id, price, stock FROM products WHERE id IN (?, ?) ORDER BY id FOR UPDATE", first, first+1)
		if err != nil {
			return err
		}
		if n != 2 {
			return errMissing
		}
		result, err := c.exec(ctx, tx, "INSERT INTO orders (customer_id) VALUES (?)", c.customer())
		if err != nil {
			return err
		}
		id, err := result.LastInsertId()
		if err != nil {
			return err
		}
		if _, err := c.exec(ctx, tx, "INSERT INTO order_items (order_id, product_id, quantity, price)"+
			" SELECT ?, id, 1, price FROM products WHERE id IN (?, ?)", id, first, first+1); err != nil {
			return err
		}
		if _, err := c.exec(ctx, tx, "UPDATE products SET stock = stock - 1 WHERE id IN (?, ?)", first, first+1); err != nil {
			return err
		}
		n, _, err = c.query(ctx, tx, "SELECT status FROM orders WHERE id = ?", id)
		if err != nil {
			return err
		}
		if n != 1 {
			return fmt.Errorf("the order of the open transaction: %w", errMissing)
		}
		if id > keepOrders {
			_, err = c.exec(ctx, tx, "DELETE FROM orders WHERE id = ?", id-keepOrders)
		}
		return err
	})
}

func sendOrder(ctx context.Context, c *client) error {
	_, err := c.exec(ctx, c.conn, "UPDATE orders SET status = 'sent' WHERE customer_id = ? AND status = 'placed' LIMIT 3", c.customer())
	return err
}

func compare(ctx context.Context, c *client) error {
	return c.transaction(ctx, &sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error {
		for range 2 {
			if _, _, err := c.query(ctx, tx, "SELECT MIN(price), MAX(price), AVG(price) FROM products WHERE category = ?",
				categories[c.rnd.IntN(len(categories))]); err != nil {
				return err
			}
		}
		return nil
	})
}

func priceWithTax(ctx context.Context, c *client) error {
	if _, err := c.exec(ctx, c.conn, "SET @tax = 1.19"); err != nil {
		return err
	}
	n, _, err := c.query(ctx, c.conn, "SELECT price * @tax FROM products WHERE id = ? AND @tax IS NOT NULL", c.product())
	if err == nil && n != 1 {
		return errMissing
	}
	return err
}
