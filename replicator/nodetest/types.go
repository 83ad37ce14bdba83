package nodetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// ColumnType is a column's type, and values of it as SQL.
type ColumnType struct {
	Column string
	Values []string
}

// Types are the types of columns that a server of the flavour knows, with edge values.
func Types(f gtid.Flavor) []ColumnType {
	if f == gtid.MySQL {
		return append(slices.Clip(types), ColumnType{"VECTOR(3)", []string{"STRING_TO_VECTOR('[1.5,-2,0.1]')"}})
	}
	return append(slices.Clip(types),
		ColumnType{"UUID", []string{"'123e4567-e89b-12d3-a456-426655440000'"}},
		ColumnType{"INET4", []string{"'1.2.3.4'"}},
		ColumnType{"INET6", []string{"'2001:db8::1'", "'::ffff:1.2.3.4'"}},
		ColumnType{"VARCHAR(100) COMPRESSED", []string{"REPEAT('x', 100)", "''"}},
		ColumnType{"TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3) INVISIBLE", []string{"'2020-01-01 00:00:00.123'"}},
	)
}

var types = []ColumnType{
	{"TINYINT", []string{"-128", "127", "0"}},
	{"TINYINT UNSIGNED ZEROFILL", []string{"255", "7"}},
	{"SMALLINT", []string{"-32768", "32767"}},
	{"MEDIUMINT", []string{"-8388608", "8388607"}},
	{"INT", []string{"-2147483648", "2147483647"}},
	{"BIGINT", []string{"-9223372036854775808", "9223372036854775807"}},
	{"BIGINT UNSIGNED", []string{"18446744073709551615"}},
	{"DECIMAL(65,30)", []string{"-12345678901234567890123456789012345.123456789012345678901234567890", "0.000000000000000000000000000001"}},
	{"FLOAT", []string{"3.4028234e38", "1.17549435e-38", "16777217", "0.1", "-0e0", "1.2345678"}},
	{"FLOAT(10,3)", []string{"1234.567", "0.001"}},
	{"DOUBLE", []string{"1.7976931348623157e308", "2.2250738585072014e-308", "0.1", "-0e0", "0.30000000000000004", "1e15", "123456789012345680"}},
	{"BIT(1)", []string{"b'1'", "b'0'"}},
	{"BIT(64)", []string{"x'ffffffffffffffff'", "x'0027005c00000000'"}},
	{"DATE", []string{"'0000-00-00'", "'9999-12-31'", "'2023-02-31'", "'2020-00-00'"}},
	{"TIME(6)", []string{"'-838:59:59.000000'", "'838:59:59'", "'-00:00:00.000001'"}},
	{"DATETIME(6)", []string{"'0000-00-00 00:00:00'", "'9999-12-31 23:59:59.999999'", "'2021-03-28 02:30:00'"}},
	{"DATETIME", []string{"'2021-10-31 02:30:00'"}},
	{"TIMESTAMP(6) NULL", []string{"'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'2021-10-31 00:30:00'", "'2021-10-31 01:30:00'", "'0000-00-00 00:00:00'"}},
	{"YEAR", []string{"0", "1901", "2155", "2000"}},
	{"CHAR(10) CHARACTER SET utf8mb4", []string{"'a'", "''", "'\U0001F40F'"}},
	{"CHAR(5) CHARACTER SET latin1", []string{"x'00FF5C2780'"}},
	{"VARCHAR(20) CHARACTER SET latin1", []string{"x'808182'", "'a  '", `'it''s \\ "q"'`}},
	{"VARCHAR(20) CHARACTER SET utf8mb4", []string{"'a\u00a0 '", `'\0\n\r\Z'`, "'é'"}},
	{"VARCHAR(20) CHARACTER SET ucs2", []string{"'ж'", "''"}},
	{"VARCHAR(20) CHARACTER SET utf16", []string{"'\U0001F40F'"}},
	{"VARCHAR(20) CHARACTER SET utf32", []string{"'\U0001F40F'"}},
	{"VARCHAR(20) CHARACTER SET sjis", []string{"x'835C'", "x'8E5C'"}},
	{"VARCHAR(20) CHARACTER SET gbk", []string{"x'C45C'"}},
	{"VARCHAR(20) CHARACTER SET big5", []string{"x'A55C'"}},
	{"VARCHAR(20) CHARACTER SET koi8r", []string{"'ж'"}},
	{"BINARY(4)", []string{"x'00'", "x'20202020'", "x'005C2700'"}},
	{"VARBINARY(8)", []string{"x'0000'", "''", "x'ff20'"}},
	{"TINYBLOB", []string{"x'00'", "''"}},
	{"BLOB", []string{"REPEAT(x'005C27FF0A0D1A', 9000)"}},
	{"MEDIUMBLOB", []string{"REPEAT(x'005C27FF', 700000)"}},
	{"LONGTEXT CHARACTER SET utf8mb4", []string{"REPEAT('é\\'\\\\', 300000)"}},
	{"TEXT CHARACTER SET latin1", []string{"x'C3A9FF'"}},
	{"ENUM('a','b,c','d''e')", []string{"'b,c'", "'d''e'", "0"}},
	{"SET('x','y''z','')", []string{"'x,y''z'", "''", "4", "7"}},
	{"SET(" + setMembers(64) + ")", []string{"18446744073709551615", "9223372036854775809"}},
	{"GEOMETRY", []string{"ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POLYGON((0 0,0 3,3 3,3 0,0 0))', 4326)", "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1.5 -2),LINESTRING(0 0,1 1))')"}},
	{"POINT", []string{"ST_GeomFromText('POINT(39 92)')"}},
	{"JSON", []string{`'{"a": [1, 2.50, null, true], "\\u00e9": "x\\\\y"}'`, `'"s"'`, "'[]'", "'1e5'"}},
}

func setMembers(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("'m%d'", i)
	}
	return strings.Join(names, ",")
}

// TypesSession is how a session must be set to store the values of Types.
var TypesSession = []string{"SET NAMES utf8mb4", "SET SESSION sql_mode='ALLOW_INVALID_DATES'", "SET SESSION time_zone='+00:00'"}

// TypeTables makes the schema `types`, with a table for each type; each has a NULL too.
func TypeTables(f gtid.Flavor) []string {
	out := append([]string{"CREATE DATABASE types CHARACTER SET latin1"}, TypesSession...)
	out = append(out, "USE types")
	for i, m := range Types(f) {
		values := []string{"(NULL)"}
		if strings.Contains(m.Column, "DEFAULT CURRENT") {
			values = nil
		}
		for _, v := range m.Values {
			values = append(values, "("+v+")")
		}
		out = append(out, fmt.Sprintf("CREATE TABLE t%02d (id INT AUTO_INCREMENT PRIMARY KEY, v %s)", i, m.Column),
			fmt.Sprintf("INSERT INTO t%02d (v) VALUES %s", i, strings.Join(values, ",")))
	}
	return out
}
