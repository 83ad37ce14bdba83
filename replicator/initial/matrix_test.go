package initial

// programs make everything else that a server holds.
var programs = []string{
	"CREATE DATABASE `every``thing` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
	"CREATE TABLE `every``thing`.`od``d 'name'` (`a``b` INT PRIMARY KEY, `select` VARCHAR(10))",
	"INSERT INTO `every``thing`.`od``d 'name'` VALUES (1,'x')",
	"CREATE DATABASE everything CHARACTER SET latin1",
	"USE everything", "SET SESSION sql_mode=''", "SET NAMES utf8mb4",
	"CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(20) UNIQUE)",
	"CREATE TABLE child (id BIGINT UNSIGNED PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE)",
	"CREATE TABLE `schön_ж` (`schlüssel_ж` VARCHAR(20), `d` DATE, v INT, PRIMARY KEY (`schlüssel_ж`, d))",
	"INSERT INTO `schön_ж` VALUES ('ä',  '2020-01-01', 1), ('ж', '2021-12-31', 2), ('', '1999-09-09', 3)",
	"CREATE TABLE nokey (a INT, b VARCHAR(5))",
	"CREATE TABLE wide (a VARCHAR(10) COLLATE latin1_swedish_ci, b INT, c DATETIME, v INT AS (b+1) VIRTUAL, s INT AS (b*2) STORED, PRIMARY KEY (a,b))",
	"CREATE TABLE empty_one (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=77",
	"CREATE TABLE parts (id INT PRIMARY KEY, v INT) PARTITION BY HASH(id) PARTITIONS 3",
	"INSERT INTO parent VALUES (0,'zero'),(-5,'minus'),(1,'one'),(2,'two')",
	"INSERT INTO child VALUES (18446744073709551615,1),(9223372036854775808,2),(1,1)",
	"INSERT INTO nokey VALUES (1,'a'),(1,'a'),(1,'a'),(NULL,NULL),(NULL,NULL)",
	"INSERT INTO wide (a,b,c) VALUES ('é',1,NULL),('E',2,'2020-01-01'),('ß',3,NULL),('a',4,NULL),('A',5,NULL),('z',-1,NULL)",
	"INSERT INTO wide (a,b,c) SELECT CONCAT('r',x.id), y.id, NOW() FROM parent x, parent y",
	"INSERT INTO parts SELECT 10*a.id+b.id+100, 1 FROM parent a, parent b ON DUPLICATE KEY UPDATE v=v+1",
	"CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(50))",
	"CREATE DEFINER='root'@'localhost' TRIGGER first_t AFTER INSERT ON parent FOR EACH ROW INSERT INTO log (what) VALUES (NEW.name)",
	"CREATE TRIGGER another_t AFTER INSERT ON parent FOR EACH ROW PRECEDES first_t SET @x=NEW.id",
	"SET SESSION sql_mode='ANSI_QUOTES,PIPES_AS_CONCAT'",
	`CREATE FUNCTION "f""1"(x INT) RETURNS VARCHAR(50) DETERMINISTIC RETURN 'é' || x`,
	"SET SESSION sql_mode='STRICT_ALL_TABLES'",
	"CREATE PROCEDURE p(IN a INT) COMMENT 'it''s' BEGIN SELECT a; END",
	"CREATE VIEW z_base AS SELECT id, name FROM parent", "CREATE VIEW a_top AS SELECT id FROM z_base WHERE id>0",
	"CREATE SQL SECURITY INVOKER VIEW with_f AS SELECT `f\"1`(id) v FROM parent",
	"SET SESSION time_zone='+02:00'",
	"CREATE DEFINER='alice'@'%' EVENT later ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 03:00:00' DO DELETE FROM log",
	"CREATE USER 'alice'@'%' IDENTIFIED BY 'pass''word\\\\x'", "CREATE USER 'bob'@'10.%' IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_USER_CONNECTIONS 3 ACCOUNT LOCK",
	"CREATE ROLE reader", "GRANT SELECT ON everything.* TO reader", "GRANT reader TO 'alice'@'%' WITH ADMIN OPTION",
	"GRANT SELECT (id), UPDATE (name) ON everything.parent TO 'alice'@'%'", "GRANT EXECUTE ON PROCEDURE everything.p TO 'bob'@'10.%'",
	"GRANT ALL ON `every``thing`.* TO 'bob'@'10.%' WITH GRANT OPTION",
}

var programsMariaDB = []string{
	"SET DEFAULT ROLE reader FOR 'alice'@'%'",
	"CREATE SEQUENCE everything.seq START WITH 5 INCREMENT BY 3 CACHE 10 CYCLE", "DO NEXTVAL(everything.seq)", "DO NEXTVAL(everything.seq)",
	"CREATE TABLE everything.history (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
	"INSERT INTO everything.history VALUES (1,1),(2,2)", "UPDATE everything.history SET v=10 WHERE id=1", "DELETE FROM everything.history WHERE id=2",
	"CREATE TABLE everything.cjson (id INT PRIMARY KEY, j JSON)", `INSERT INTO everything.cjson VALUES (1,'{"b": 1,   "a":2}')`,
}

var programsMySQL = []string{
	"SET DEFAULT ROLE reader TO 'alice'@'%'",
	"CREATE TABLE everything.hidden (id INT INVISIBLE PRIMARY KEY, v INT, KEY ((v+1)))", "INSERT INTO everything.hidden (id,v) VALUES (1,2)",
	"SET SESSION sql_generate_invisible_primary_key=1", "CREATE TABLE everything.gipk (v INT)", "INSERT INTO everything.gipk VALUES (1),(2)",
}
