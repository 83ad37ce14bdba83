package demo

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
)

// The size of the shop. Orders grow while the load runs, up to keepOrders.
const (
	numCustomers = 1000
	numProducts  = 200
	numOrders    = 2000
	keepOrders   = 20000
)

var shopTables = []string{
	`CREATE TABLE customers (
  id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  email VARCHAR(80) NOT NULL UNIQUE,
  city VARCHAR(40) NOT NULL,
  visits INT UNSIGNED NOT NULL DEFAULT 0,
  KEY (city))`,
	`CREATE TABLE products (
  id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  category VARCHAR(20) NOT NULL,
  price DECIMAL(8,2) NOT NULL,
  stock INT NOT NULL,
  KEY (category, price))`,
	`CREATE TABLE orders (
  id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  status ENUM('placed','paid','sent','done') NOT NULL DEFAULT 'placed',
  placed_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  KEY (customer_id), KEY (status),
  FOREIGN KEY (customer_id) REFERENCES customers (id))`,
	`CREATE TABLE order_items (
  order_id INT UNSIGNED NOT NULL,
  product_id INT UNSIGNED NOT NULL,
  quantity INT UNSIGNED NOT NULL,
  price DECIMAL(8,2) NOT NULL,
  PRIMARY KEY (order_id, product_id),
  FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
  FOREIGN KEY (product_id) REFERENCES products (id))`,
}

var (
	firstNames = []string{"Ada", "Alan", "Barbara", "Claude", "Donald", "Edsger", "Frances", "Grace", "Jim", "Leslie", "Margaret", "Niklaus"}
	lastNames  = []string{"Archer", "Baker", "Carter", "Dyer", "Fisher", "Glover", "Hunter", "Mason", "Potter", "Shepherd", "Turner", "Weaver"}
	cities     = []string{"Bergen", "Bilbao", "Cork", "Delft", "Gent", "Graz", "Lund", "Porto", "Riga", "Turku"}
	categories = []string{"books", "garden", "kitchen", "music", "tools", "toys"}
	adjectives = []string{"blue", "folding", "heavy", "large", "light", "quiet", "red", "round", "small", "square"}
	things     = []string{"bell", "bowl", "brush", "chair", "hammer", "kettle", "lamp", "rope", "shelf", "whistle"}
)

// makeShop creates and fills the shop's tables. The data are the same each time.
func makeShop(ctx context.Context, db *sql.DB) error {
	for _, t := range shopTables {
		if _, err := db.ExecContext(ctx, t); err != nil {
			return fmt.Errorf("make the shop: %w", err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	pick := func(words []string) string { return words[rnd.IntN(len(words))] }
	fills := []struct {
		into string
		n    int
		row  func(i int) string
	}{
		{"customers (id, name, email, city)", numCustomers, func(i int) string {
			first, last := pick(firstNames), pick(lastNames)
			return fmt.Sprintf("(%d,'%s %s','%s.%s.%d@shop.example','%s')", i, first, last,
				strings.ToLower(first), strings.ToLower(last), i, pick(cities))
		}},
		{"products (id, name, category, price, stock)", numProducts, func(i int) string {
			return fmt.Sprintf("(%d,'%s %s','%s',%d.%02d,1000000)", i, pick(adjectives), pick(things), pick(categories),
				1+rnd.IntN(90), rnd.IntN(100))
		}},
		{"orders (id, customer_id, status)", numOrders, func(i int) string {
			return fmt.Sprintf("(%d,%d,'done')", i, 1+rnd.IntN(numCustomers))
		}},
		{"order_items (order_id, product_id, quantity, price)", numOrders, func(i int) string {
			product := 1 + rnd.IntN(numProducts-1)
			return fmt.Sprintf("(%d,%d,%d,9.90),(%d,%d,%d,4.50)", i, product, 1+rnd.IntN(3), i, product+1, 1+rnd.IntN(3))
		}},
	}
	for _, f := range fills {
		for i := 1; i <= f.n; {
			var b strings.Builder
			b.WriteString("INSERT INTO " + f.into + " VALUES ")
			for end := min(i+500, f.n+1); i < end; i++ {
				b.WriteString(f.row(i))
				b.WriteByte(',')
			}
			if _, err := db.ExecContext(ctx, strings.TrimSuffix(b.String(), ",")); err != nil {
				return fmt.Errorf("fill the shop: %w", err)
			}
		}
	}
	return nil
}
