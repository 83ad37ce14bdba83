# What an application does with Ruby's mysql2 (over MariaDB's C library).
# Every line is "ok <name>: <value>". The same program runs against a server and
# through Bellwether, and must print the same.

require 'mysql2'
require 'digest'

$failures = 0
$stdout.sync = true

def check(name, got, want)
  if got == want
    puts "ok #{name}: #{got.inspect}"
  else
    $failures += 1
    puts "FAIL #{name}: got #{got.inspect}, want #{want.inspect}"
  end
end

# Waits until the followers have applied what this program wrote.
def settle
  system(ENV.fetch('BW_SETTLE')) || raise('settle failed')
end

def connect(**options)
  Mysql2::Client.new(host: ENV['BW_HOST'], port: ENV['BW_PORT'].to_i, username: ENV['BW_USER'],
                     password: ENV['BW_PASSWORD'], database: ENV['BW_SCHEMA'], encoding: 'utf8mb4',
                     database_timezone: :utc, application_timezone: :utc, as: :array, **options)
end

def rows(db, sql, **options)
  result = db.query(sql, **options)
  result.nil? ? [] : result.to_a
end

def error_of
  yield
  'no error'
rescue Mysql2::Error => e
  "#{e.error_number} #{e.sql_state} #{e.message}"
end

def types(db)
  rows(db, 'CREATE TABLE rb_types (id INT PRIMARY KEY, big BIGINT UNSIGNED, dec_ DECIMAL(20,5), dbl DOUBLE,
    txt VARCHAR(100), raw VARBINARY(100), day DATE, at DATETIME(6)) CHARACTER SET utf8mb4')
  words = "Grüße 🐑 '\"\\"
  raw = "a\0b'\\".b
  insert = db.prepare('INSERT INTO rb_types VALUES (?,?,?,?,?,?,?,?)')
  insert.execute(1, 2**63, BigDecimal('12345.6789'), 0.5, words, raw, Date.new(2026, 2, 28), Time.utc(2026, 2, 28, 23, 59, 59, 123456))
  check('prepared insert', [insert.affected_rows, insert.param_count], [1, 8])
  insert.execute(2, nil, nil, nil, nil, nil, nil, nil)
  settle
  want = [1, 2**63, BigDecimal('12345.6789'), 0.5, words, raw, Date.new(2026, 2, 28), Time.utc(2026, 2, 28, 23, 59, 59, 123456)]
  select = db.prepare('SELECT * FROM rb_types WHERE id >= ? ORDER BY id')
  check('prepared types', select.execute(1, as: :array).to_a, [want, [2] + [nil] * 7])
  check('prepared again', select.execute(2, as: :array).to_a, [[2] + [nil] * 7])
  check('prepared with another type', select.execute('2', as: :array).count, 1)
  check('fields', select.fields, %w[id big dec_ dbl txt raw day at])
  select.close
  check('text types', rows(db, 'SELECT * FROM rb_types WHERE id = 1'), [want])
  check('hash rows', db.query('SELECT id, txt FROM rb_types WHERE id = 1', as: :hash).first, { 'id' => 1, 'txt' => words })
  check('escape', rows(db, "SELECT id FROM rb_types WHERE txt = '#{db.escape(words)}'"), [[1]])
end

def transactions(db)
  rows(db, 'CREATE TABLE rb_tx (id INT PRIMARY KEY) ENGINE=InnoDB')
  rows(db, 'BEGIN')
  rows(db, 'INSERT INTO rb_tx VALUES (1)')
  check('tx own write', rows(db, 'SELECT COUNT(*) FROM rb_tx'), [[1]])
  check('tx own write, prepared', db.prepare('SELECT COUNT(*) FROM rb_tx').execute(as: :array).to_a, [[1]])
  rows(db, 'COMMIT')
  rows(db, 'START TRANSACTION')
  rows(db, 'INSERT INTO rb_tx VALUES (2)')
  rows(db, 'ROLLBACK')
  rows(db, 'BEGIN')
  rows(db, 'INSERT INTO rb_tx VALUES (3)')
  rows(db, 'SAVEPOINT a')
  rows(db, 'INSERT INTO rb_tx VALUES (4)')
  rows(db, 'ROLLBACK TO SAVEPOINT a')
  rows(db, 'COMMIT AND CHAIN')
  rows(db, 'INSERT INTO rb_tx VALUES (5)')
  check('tx chained own write', rows(db, 'SELECT MAX(id) FROM rb_tx'), [[5]])
  rows(db, 'ROLLBACK')
  rows(db, 'SET autocommit = 0')
  rows(db, 'INSERT INTO rb_tx VALUES (6)')
  check('autocommit off own write', rows(db, 'SELECT MAX(id) FROM rb_tx'), [[6]])
  rows(db, 'ROLLBACK')
  rows(db, 'SET autocommit = 1')
  settle
  check('tx result', rows(db, 'SELECT id FROM rb_tx ORDER BY id'), [[1], [3]])
end


def multi_results
  db = connect(flags: Mysql2::Client::MULTI_STATEMENTS)
  rows(db, 'CREATE PROCEDURE rb_two(IN n INT, OUT twice INT) BEGIN SELECT n AS a; SELECT n + 1 AS b UNION SELECT n + 2; SET twice = n * 2; END')
  all = lambda do |first|
    got = [first.to_a]
    while db.next_result
      result = db.store_result
      got << (result.nil? ? db.affected_rows : result.to_a)
    end
    got
  end
  check('call', all.call(db.query('CALL rb_two(5, @twice)')), [[[5]], [[6], [7]], 0])
  check('call out', rows(db, 'SELECT @twice'), [[10]])
  check('multi statements', all.call(db.query("SELECT 1; SET @x = 7; SELECT @x, 'two'")), [[[1]], 0, [[7, 'two']]])
  first = db.query('SELECT 1; SELECT * FROM rb_absent; SELECT 3')
  check('multi error', error_of { all.call(first) }[0, 10], '1146 42S02')
  check('usable after multi error', rows(db, 'SELECT 4'), [[4]])
  db.abandon_results!
  db.set_server_option(Mysql2::Client::OPTION_MULTI_STATEMENTS_OFF)
  check('multi statements turned off', error_of { rows(db, 'SELECT 1; SELECT 2') }[0, 10], '1064 42000')
  db.set_server_option(Mysql2::Client::OPTION_MULTI_STATEMENTS_ON)
  check('multi statements turned on', all.call(db.query('SELECT 1; SELECT 2')), [[[1]], [[2]]])
  db.close
end

def large(db)
  value = (0..255).to_a.pack('C*') * 4 * (17 << 10) # 17 MiB, more than one packet holds
  rows(db, 'CREATE TABLE rb_large (id INT PRIMARY KEY, v LONGBLOB)')
  db.prepare("INSERT INTO rb_large VALUES (1, ?), (2, 'small')").execute(value)
  settle
  got = rows(db, 'SELECT v FROM rb_large ORDER BY id')
  check('large text', [got[0][0].bytesize, Digest::MD5.digest(got[0][0]) == Digest::MD5.digest(value), got[1][0]], [17 << 20, true, 'small'])
  got = db.prepare('SELECT v FROM rb_large ORDER BY id').execute(as: :array).to_a
  check('large binary', [Digest::MD5.digest(got[0][0]) == Digest::MD5.digest(value), got[1][0]], [true, 'small'])
end

def errors(db)
  rows(db, 'CREATE TABLE rb_err (id INT PRIMARY KEY, n INT NOT NULL)')
  rows(db, 'INSERT INTO rb_err VALUES (1, 1)')
  settle
  check('error duplicate', error_of { rows(db, 'INSERT INTO rb_err VALUES (1, 2)') }[0, 10], '1062 23000')
  check('error syntax', error_of { rows(db, 'SELEC 1') }[0, 10], '1064 42000')
  check('error table', error_of { rows(db, 'SELECT * FROM rb_absent') }, "1146 42S02 Table '#{ENV['BW_SCHEMA']}.rb_absent' doesn't exist")
  check('error prepare', error_of { db.prepare('SELECT * FROM rb_absent WHERE id = ?') }[0, 10], '1146 42S02')
  insert = db.prepare('INSERT INTO rb_err VALUES (?, 1)')
  check('error execute', error_of { insert.execute(1) }[0, 10], '1062 23000')
  check('error signal', error_of { rows(db, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own words', MYSQL_ERRNO = 31001") }, '31001 45000 own words')
  check('usable after errors', rows(db, 'SELECT n FROM rb_err'), [[1]])
  rows(db, "SELECT CAST('12x' AS SIGNED), n FROM rb_err")
  check('warnings', [db.warning_count, rows(db, 'SHOW WARNINGS')], [1, [['Warning', 1292, "Truncated incorrect INTEGER value: '12x'"]]])
end

def character_sets(db)
  check('emoji', rows(db, "SELECT '🐑', HEX('🐑')"), [['🐑', 'F09F9091']])
  { 'latin1' => 'é', 'gbk' => '誠', 'sjis' => '表' }.each do |charset, text|
    other = connect(encoding: charset)
    encoding = { 'latin1' => 'ISO-8859-1', 'gbk' => 'GBK', 'sjis' => 'Shift_JIS' }[charset]
    quoted = other.escape((text + "'").encode(encoding))
    got = rows(other, "SELECT HEX('".encode(encoding) + quoted + "'), '".encode(encoding) + quoted + "'".encode(encoding))
    check("charset #{charset}", [got[0][0].encode('UTF-8'), got[0][1].encode('UTF-8')],
          [(text + "'").encode(encoding).unpack1('H*').upcase, text + "'"])
    other.close
  end
end

def ids_and_counts(db)
  rows(db, 'CREATE TABLE rb_ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT)')
  rows(db, 'INSERT INTO rb_ids (n) VALUES (1), (2), (3)')
  check('insert', [db.affected_rows, db.last_id], [3, 1])
  check('last_insert_id', rows(db, 'SELECT LAST_INSERT_ID()'), [[1]])
  insert = db.prepare('INSERT INTO rb_ids (n) VALUES (?)')
  insert.execute(9)
  check('prepared last_id', [insert.last_id, rows(db, 'SELECT LAST_INSERT_ID()')], [4, [[4]]])
  rows(db, 'UPDATE rb_ids SET n = 2 WHERE id <= 2')
  check('changed rows', db.affected_rows, 1)
  found = connect(flags: Mysql2::Client::FOUND_ROWS)
  rows(found, 'UPDATE rb_ids SET n = 2 WHERE id <= 2')
  check('found rows flag', found.affected_rows, 2)
  found.close
end

def load_local
  path = File.join(ENV['BW_DIR'], 'rb_load.csv')
  File.write(path, (0...20_000).map { |i| "#{i},line #{i} ü\n" }.join)
  db = connect(local_infile: true)
  rows(db, 'CREATE TABLE rb_load (id INT PRIMARY KEY, v VARCHAR(40)) CHARACTER SET utf8mb4')
  rows(db, "LOAD DATA LOCAL INFILE '#{path}' INTO TABLE rb_load FIELDS TERMINATED BY ','")
  check('load local', db.affected_rows, 20_000)
  settle
  check('load local rows', rows(db, 'SELECT COUNT(*), MAX(v) FROM rb_load'), [[20_000, 'line 9999 ü']])
  check('load local missing file', error_of { rows(db, "LOAD DATA LOCAL INFILE '/nonexistent/file' INTO TABLE rb_load") } != 'no error', true)
  check('usable after load local', rows(db, 'SELECT 5'), [[5]])
  db.close
end

def streams(db)
  seen = 0
  db.query('SELECT id FROM rb_load ORDER BY id', stream: true, cache_rows: false).each { seen += 1 }
  check('streamed', seen, 20_000)
  seen = 0
  db.prepare('SELECT id FROM rb_load WHERE id >= ? ORDER BY id').execute(10, stream: true, cache_rows: false).each { seen += 1 }
  check('streamed, prepared', seen, 19_990)
  db.query('SELECT MAX(id) FROM rb_load', async: true)
  check('async', db.async_result.to_a, [[19_999]])
end

def session_commands(db)
  check('ping', db.ping, true)
  check('thread id', rows(db, 'SELECT CONNECTION_ID()')[0][0] == db.thread_id, true)
  check('server info', db.server_info[:version] == rows(db, 'SELECT VERSION()')[0][0], true)
  db.select_db('information_schema')
  check('select_db', rows(db, 'SELECT DATABASE()'), [['information_schema']])
  db.select_db(ENV['BW_SCHEMA'])
  rows(db, 'SET SESSION group_concat_max_len = 7')
  check('session variable in a read', rows(db, 'SELECT GROUP_CONCAT(v ORDER BY id) FROM rb_load WHERE id < 9'), [['line 0 ']])
  rows(db, 'CREATE TEMPORARY TABLE rb_temp AS SELECT 1 AS n')
  check('temporary table', rows(db, 'SELECT n FROM rb_temp'), [[1]])
end

def kills
  victim = connect
  killer = connect
  rows(killer, 'CREATE TABLE rb_n (n INT)')
  rows(killer, "INSERT INTO rb_n VALUES #{(1..2000).map { |i| "(#{i})" }.join(',')}")
  settle
  seen = nil
  # The KILL is repeated, because nobody knows when the query begins.
  worker = Thread.new { seen = error_of { rows(victim, 'SELECT SUM(a.n * b.n % 7 + c.n) FROM rb_n a, rb_n b, rb_n c') } }
  rows(killer, "KILL QUERY #{victim.thread_id}") until worker.join(0.1)
  check('kill query', seen, '1317 70100 Query execution was interrupted')
  check('killed session lives', rows(victim, 'SELECT 1'), [[1]])
  rows(killer, "KILL #{victim.thread_id}")
  lost = (1..100).any? { sleep 0.05; !victim.ping }
  check('kill connection', lost, true)
  check('kill unknown', error_of { rows(killer, 'KILL QUERY 4000000000') }[0, 10], '1094 HY000')
  timed = connect(read_timeout: 1)
  check('read timeout', error_of { rows(timed, 'SELECT SLEEP(30)') } != 'no error', true)
end

def options
  squeezed = connect(flags: Mysql2::Client::COMPRESS)
  check('compressed', rows(squeezed, 'SELECT LENGTH(v) FROM rb_large ORDER BY id'), [[17 << 20], [5]])
  check('compressed large', rows(squeezed, 'SELECT v FROM rb_large WHERE id = 1')[0][0].bytesize, 17 << 20)
  squeezed.close
  encrypted = connect(sslca: ENV['BW_CA'])
  check('tls', [rows(encrypted, 'SELECT COUNT(*) FROM rb_load'), encrypted.ssl_cipher.to_s != ''], [[[20_000]], true])
  encrypted.close
  started = connect(init_command: "SET @started = 'yes'")
  check('init command', rows(started, 'SELECT @started'), [['yes']])
  check('refused password', error_of { connect(password: 'wrong') }[0, 10], '1045 28000')
  check('refused schema', error_of { connect(database: 'rb_absent_schema') }[0, 10], '1049 42000')
end

db = connect
types(db)
transactions(db)
multi_results
large(db)
errors(db)
character_sets(db)
ids_and_counts(db)
load_local
streams(db)
session_commands(db)
kills
options
exit($failures.zero? ? 0 : 1)
