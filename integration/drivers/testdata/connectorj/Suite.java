import java.io.ByteArrayInputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.BatchUpdateException;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * What an application does with MariaDB Connector/J. Every line is "ok name: value". The same
 * program runs against a server and through Bellwether, and must print the same.
 */
public class Suite {
  static int failures;

  static void check(String name, Object got, Object want) {
    String shown = String.valueOf(got);
    if (Objects.equals(shown, String.valueOf(want))) {
      System.out.println("ok " + name + ": " + shown);
      return;
    }
    failures++;
    System.out.println("FAIL " + name + ": got " + shown + ", want " + want);
  }

  /** Waits until the followers have applied what this program wrote. */
  static void settle() throws Exception {
    int status = new ProcessBuilder(System.getenv("BW_SETTLE")).inheritIO().start().waitFor();
    if (status != 0) {
      throw new IllegalStateException("settle: " + status);
    }
  }

  static Connection connect(String options) throws SQLException {
    return connectAs(System.getenv("BW_USER"), System.getenv("BW_PASSWORD"), System.getenv("BW_SCHEMA"), options);
  }

  static Connection connectAs(String user, String password, String schema, String options) throws SQLException {
    String url = "jdbc:mariadb://" + System.getenv("BW_HOST") + ":" + System.getenv("BW_PORT") + "/" + schema
        + "?allowPublicKeyRetrieval=true&trustServerCertificate=true&" + options;
    return DriverManager.getConnection(url, user, password);
  }

  static List<List<Object>> fetch(ResultSet rs) throws SQLException {
    List<List<Object>> out = new ArrayList<>();
    int columns = rs.getMetaData().getColumnCount();
    while (rs.next()) {
      List<Object> row = new ArrayList<>();
      for (int i = 1; i <= columns; i++) {
        Object v = rs.getObject(i);
        row.add(v instanceof byte[] ? "bytes " + Arrays.toString((byte[]) v) : v);
      }
      out.add(row);
    }
    rs.close();
    return out;
  }

  static List<List<Object>> rows(Connection c, String sql, Object... args) throws SQLException {
    try (PreparedStatement st = c.prepareStatement(sql)) {
      for (int i = 0; i < args.length; i++) {
        st.setObject(i + 1, args[i]);
      }
      return st.execute() ? fetch(st.getResultSet()) : List.of();
    }
  }

  static int run(Connection c, String sql) throws SQLException {
    try (Statement st = c.createStatement()) {
      return st.executeUpdate(sql);
    }
  }

  interface Action {
    void run() throws Exception;
  }

  static String errorOf(Action action) throws Exception {
    try {
      action.run();
    } catch (SQLException e) {
      return e.getErrorCode() + " " + e.getSQLState();
    }
    return "no error";
  }

  static void statements(Connection c, String mode) throws Exception {
    String t = "cj_types_" + mode;
    run(c, "CREATE TABLE " + t + " (id INT PRIMARY KEY, big BIGINT UNSIGNED, dec_ DECIMAL(20,5), dbl DOUBLE, txt VARCHAR(100),"
        + " raw VARBINARY(100), at DATETIME(6), yes BIT(1), tiny TINYINT, pick ENUM('a','b')) CHARACTER SET utf8mb4");
    try (PreparedStatement st = c.prepareStatement("INSERT INTO " + t + " VALUES (?,?,?,?,?,?,?,?,?,?)")) {
      st.setInt(1, 1);
      st.setBigDecimal(2, new BigDecimal("18446744073709551615"));
      st.setBigDecimal(3, new BigDecimal("12345.67890"));
      st.setDouble(4, 0.1);
      st.setString(5, "Grüße 🐑 '\"\\?");
      st.setBytes(6, new byte[] {0, -1, '\'', '\\'});
      st.setTimestamp(7, Timestamp.valueOf("2026-02-28 23:59:59.123456"));
      st.setBoolean(8, true);
      st.setByte(9, (byte) -7);
      st.setString(10, "b");
      check(mode + " insert", st.executeUpdate(), 1);
      st.setInt(1, 2);
      for (int i = 2; i <= 10; i++) {
        st.setNull(i, Types.VARCHAR);
      }
      check(mode + " insert nulls", st.executeUpdate(), 1);
    }
    settle();
    List<List<Object>> got = rows(c, "SELECT * FROM " + t + " WHERE id >= ? ORDER BY id", 1);
    check(mode + " types", got.get(0), "[1, 18446744073709551615, 12345.67890, 0.1, Grüße 🐑 '\"\\?, bytes [0, -1, 39, 92],"
        + " 2026-02-28 23:59:59.123456, true, -7, b]");
    check(mode + " nulls", got.get(1), "[2, null, null, null, null, null, null, null, null, null]");
    try (PreparedStatement st = c.prepareStatement("SELECT CONCAT(?), id FROM " + t + " WHERE id = 1")) {
      List<Object> seen = new ArrayList<>();
      for (Object v : new Object[] {1, "two", null, 2.5, 1L << 40}) {
        st.setObject(1, v);
        seen.add(fetch(st.executeQuery()).get(0).get(0));
      }
      check(mode + " executed with several types", seen.stream().map(String::valueOf).collect(Collectors.toList()), "[1, two, null, 2.5, 1099511627776]");
    }
    List<PreparedStatement> open = new ArrayList<>();
    long sum = 0;
    for (int i = 0; i < 300; i++) {
      open.add(c.prepareStatement("SELECT " + i + " FROM " + t + " WHERE id = ?"));
    }
    for (PreparedStatement st : open) {
      st.setInt(1, 1);
      sum += ((Number) fetch(st.executeQuery()).get(0).get(0)).longValue();
    }
    for (PreparedStatement st : open) {
      st.close();
    }
    check(mode + " 300 open statements", sum, 44850);
    run(c, "CREATE TABLE " + t + "_large (id INT, v LONGBLOB)");
    String value = "0123456789abcdef".repeat(1 << 20) + "end"; // a little more than one packet
    try (PreparedStatement st = c.prepareStatement("INSERT INTO " + t + "_large VALUES (?, ?)")) {
      st.setInt(1, 1);
      st.setBytes(2, value.getBytes(StandardCharsets.US_ASCII));
      st.executeUpdate();
      st.setInt(1, 2);
      st.setBinaryStream(2, new ByteArrayInputStream(value.getBytes(StandardCharsets.US_ASCII))); // long data
      st.executeUpdate();
      st.setInt(1, 3);
      st.setCharacterStream(2, new StringReader("small"));
      st.executeUpdate();
    }
    settle();
    try (PreparedStatement st = c.prepareStatement("SELECT v FROM " + t + "_large WHERE id > ? ORDER BY id")) {
      st.setInt(1, 0);
      List<Object> seen = new ArrayList<>();
      try (ResultSet rs = st.executeQuery()) {
        while (rs.next()) {
          String s = new String(rs.getBytes(1), StandardCharsets.US_ASCII);
          seen.add(s.equals(value) ? "equal" : s);
        }
      }
      check(mode + " large", seen, "[equal, equal, small]");
    }
  }

  static void batches(Connection c, String mode) throws Exception {
    String t = "cj_batch_" + mode;
    run(c, "CREATE TABLE " + t + " (id INT AUTO_INCREMENT PRIMARY KEY, n INT UNIQUE, v VARCHAR(20))");
    try (PreparedStatement st = c.prepareStatement("INSERT INTO " + t + " (n, v) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
      for (int i = 0; i < 1000; i++) {
        st.setInt(1, i);
        st.setString(2, i % 3 == 0 ? null : "v" + i);
        st.addBatch();
      }
      check(mode + " batch", st.executeBatch().length, 1000);
    }
    settle();
    check(mode + " batch rows", rows(c, "SELECT COUNT(*), COUNT(v), SUM(n) FROM " + t), "[[1000, 666, 499500]]");
    try (PreparedStatement st = c.prepareStatement("INSERT INTO " + t + " (n, v) VALUES (?, ?)")) {
      for (int n : new int[] {2000, 5, 2001}) {
        st.setInt(1, n);
        st.setString(2, "x");
        st.addBatch();
      }
      String seen = "no error";
      try {
        st.executeBatch();
      } catch (BatchUpdateException e) {
        seen = e.getErrorCode() + " " + e.getSQLState();
      }
      check(mode + " batch error", seen, "1062 23000");
    }
    try (Statement st = c.createStatement()) {
      st.addBatch("UPDATE " + t + " SET v = 'a' WHERE n < 10");
      st.addBatch("DELETE FROM " + t + " WHERE n >= 990");
      check(mode + " statement batch", st.executeBatch()[0], 10);
    }
    try (PreparedStatement st = c.prepareStatement("INSERT INTO " + t + " (n) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
      st.setInt(1, 5000);
      st.executeUpdate();
      long key = (Long) fetch(st.getGeneratedKeys()).get(0).get(0);
      check(mode + " generated key", rows(c, "SELECT LAST_INSERT_ID()"), "[[" + key + "]]");
    }
  }

  static void transactions(Connection c, String mode) throws Exception {
    String t = "cj_tx_" + mode;
    run(c, "CREATE TABLE " + t + " (id INT PRIMARY KEY) ENGINE=InnoDB");
    c.setAutoCommit(false);
    run(c, "INSERT INTO " + t + " VALUES (1)");
    check(mode + " tx own write", rows(c, "SELECT COUNT(*) FROM " + t + " WHERE id >= ?", 0), "[[1]]");
    c.commit();
    run(c, "INSERT INTO " + t + " VALUES (2)");
    c.rollback();
    run(c, "INSERT INTO " + t + " VALUES (3)");
    Savepoint a = c.setSavepoint("a");
    run(c, "INSERT INTO " + t + " VALUES (4)");
    c.rollback(a);
    c.commit();
    c.setAutoCommit(true);
    settle();
    check(mode + " tx result", rows(c, "SELECT id FROM " + t + " ORDER BY id"), "[[1], [3]]");
    c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    check(mode + " isolation", c.getTransactionIsolation(), Connection.TRANSACTION_SERIALIZABLE);
    c.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
    c.setReadOnly(true);
    check(mode + " read only", rows(c, "SELECT COUNT(*) FROM " + t), "[[2]]");
    c.setReadOnly(false);
    check(mode + " no longer read only", run(c, "DELETE FROM " + t + " WHERE id = 3"), 1);
  }

  static void results(Connection c, String mode) throws Exception {
    run(c, "CREATE PROCEDURE cj_two_" + mode + "(IN n INT, OUT twice INT, INOUT both_ INT) BEGIN SELECT n AS a;"
        + " SELECT n + 1 AS b UNION SELECT n + 2; SET twice = n * 2, both_ = both_ + n; END");
    try (CallableStatement call = c.prepareCall("{call cj_two_" + mode + "(?, ?, ?)}")) {
      call.setInt(1, 5);
      call.registerOutParameter(2, Types.INTEGER);
      call.setInt(3, 100);
      call.registerOutParameter(3, Types.INTEGER);
      List<Object> seen = new ArrayList<>();
      boolean isResult = call.execute();
      while (isResult) {
        seen.add(fetch(call.getResultSet()));
        isResult = call.getMoreResults();
      }
      check(mode + " call", seen, "[[[5]], [[6], [7]]]");
      check(mode + " call out", call.getInt(2) + " " + call.getInt(3), "10 105");
    }
    run(c, "CREATE FUNCTION cj_plus_" + mode + "(a INT, b INT) RETURNS INT DETERMINISTIC RETURN a + b");
    settle();
    try (CallableStatement call = c.prepareCall("{? = call cj_plus_" + mode + "(?, ?)}")) {
      call.registerOutParameter(1, Types.INTEGER);
      call.setInt(2, 40);
      call.setInt(3, 2);
      call.execute();
      check(mode + " function", call.getInt(1), 42);
    }
  }

  static void multiStatements() throws Exception {
    try (Connection c = connect("allowMultiQueries=true"); Statement st = c.createStatement()) {
      List<Object> seen = new ArrayList<>();
      boolean isResult = st.execute("SELECT 1; SET @x = 7; SELECT @x, 'two'; DO 0");
      while (isResult || st.getUpdateCount() >= 0) {
        seen.add(isResult ? fetch(st.getResultSet()) : st.getUpdateCount());
        isResult = st.getMoreResults();
      }
      check("multi statements", seen, "[[[1]], 0, [[7, two]], 0]");
      check("multi error", errorOf(() -> {
        st.execute("SELECT 1; SELECT * FROM cj_absent; SELECT 3");
        while (st.getMoreResults() || st.getUpdateCount() >= 0) {
          // to the error
        }
      }), "1146 42S02");
      check("usable after multi error", rows(c, "SELECT 4"), "[[4]]");
    }
    try (Connection c = connect("")) {
      check("multi statements off", errorOf(() -> run(c, "SET @a = 1; SET @b = 2")), "1064 42000");
    }
  }

  static void errors(Connection c, String mode) throws Exception {
    String t = "cj_err_" + mode;
    run(c, "CREATE TABLE " + t + " (id INT PRIMARY KEY, n INT NOT NULL)");
    run(c, "INSERT INTO " + t + " VALUES (1, 1)");
    check(mode + " error duplicate", errorOf(() -> rows(c, "INSERT INTO " + t + " VALUES (?, ?)", 1, 2)), "1062 23000");
    check(mode + " error syntax", errorOf(() -> run(c, "SELEC 1")), "1064 42000");
    check(mode + " error table", errorOf(() -> rows(c, "SELECT * FROM cj_absent WHERE id = ?", 1)), "1146 42S02");
    check(mode + " error null", errorOf(() -> rows(c, "INSERT INTO " + t + " VALUES (?, ?)", 2, null)), "1048 23000");
    check(mode + " error signal", errorOf(() -> run(c, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own', MYSQL_ERRNO = 31001")), "31001 45000");
    settle();
    check(mode + " after errors", rows(c, "SELECT n FROM " + t), "[[1]]");
  }

  static void loadLocal() throws Exception {
    Path path = Path.of(System.getenv("BW_DIR"), "cj_load.csv");
    Files.writeString(path, IntStream.range(0, 20000).mapToObj(i -> i + ",line " + i + " ü\n").collect(Collectors.joining()));
    try (Connection c = connect("allowLocalInfile=true")) {
      run(c, "CREATE TABLE cj_load (id INT PRIMARY KEY, v VARCHAR(40)) CHARACTER SET utf8mb4");
      check("load local", run(c, "LOAD DATA LOCAL INFILE '" + path + "' INTO TABLE cj_load CHARACTER SET utf8mb4 FIELDS TERMINATED BY ','"), 20000);
      settle();
      check("load local rows", rows(c, "SELECT COUNT(*), MAX(v) FROM cj_load"), "[[20000, line 9999 ü]]");
      check("load local missing file", errorOf(() -> run(c, "LOAD DATA LOCAL INFILE '/nonexistent/file' INTO TABLE cj_load")).equals("no error"), false);
      check("usable after load local", rows(c, "SELECT 5"), "[[5]]");
    }
    try (Connection c = connect("allowLocalInfile=false")) {
      check("load local not offered", errorOf(() -> run(c, "LOAD DATA LOCAL INFILE '" + path + "' INTO TABLE cj_load")).equals("no error"), false);
    }
  }

  static void fetchSizes(Connection c, String mode) throws Exception {
    try (Statement st = c.createStatement(); PreparedStatement pst = c.prepareStatement("SELECT id FROM cj_load WHERE id >= ? ORDER BY id")) {
      st.setFetchSize(100);
      pst.setFetchSize(7);
      int seen = 0;
      try (ResultSet rs = st.executeQuery("SELECT id, v FROM cj_load")) {
        while (rs.next()) {
          seen++;
          if (seen == 50) { // another statement while rows are still to come
            check(mode + " beside a fetch", rows(c, "SELECT COUNT(*) FROM cj_load"), "[[20000]]");
          }
        }
      }
      pst.setInt(1, 19000);
      int seenPrepared = 0;
      try (ResultSet rs = pst.executeQuery()) {
        while (rs.next()) {
          seenPrepared++;
        }
      }
      check(mode + " fetch size", seen + " " + seenPrepared, "20000 1000");
      try (ResultSet rs = pst.executeQuery()) {
        rs.next();
        check(mode + " abandoned fetch", rs.getInt(1), 19000);
      }
    }
    check(mode + " after fetches", rows(c, "SELECT MAX(id) FROM cj_load"), "[[19999]]");
  }

  static void sessions() throws Exception {
    try (Connection c = connect("sessionVariables=group_concat_max_len=7")) {
      check("valid", c.isValid(5), true);
      check("session variable in a read", rows(c, "SELECT GROUP_CONCAT(v ORDER BY id) FROM cj_load WHERE id < 9"), "[[line 0 ]]");
      c.setCatalog("information_schema");
      check("set catalogue", rows(c, "SELECT DATABASE()") + " " + c.getCatalog(), "[[information_schema]] information_schema");
      c.setCatalog(System.getenv("BW_SCHEMA"));
      check("metadata", fetch(c.getMetaData().getPrimaryKeys(null, System.getenv("BW_SCHEMA"), "cj_load")).size()
          + fetch(c.getMetaData().getColumns(System.getenv("BW_SCHEMA"), null, "cj_load", "%")).size(), 3);
      run(c, "CREATE TEMPORARY TABLE cj_temp AS SELECT 1 AS n");
      check("temporary table", rows(c, "SELECT n FROM cj_temp"), "[[1]]");
    }
    try (Connection c = connect("useAffectedRows=false"); Connection d = connect("useAffectedRows=true")) {
      check("found rows and changed rows", run(c, "UPDATE cj_load SET v = v WHERE id < 3") + " " + run(d, "UPDATE cj_load SET v = v WHERE id < 3"), "3 0");
    }
    for (String options : List.of("useCompression=true", "useSsl=true", "useSsl=true&useCompression=true", "useSsl=true&useServerPrepStmts=true")) {
      try (Connection c = connect(options)) {
        check(options, rows(c, "SELECT COUNT(*), MAX(v) FROM cj_load WHERE id >= ?", 0), "[[20000, line 9999 ü]]");
        check(options + " large", ((String) rows(c, "SELECT v FROM cj_types_text_large WHERE id = ?", 1).get(0).get(0)).length() > 1000, true);
      }
    }
    check("refused password", errorOf(() -> connectAs(System.getenv("BW_USER"), "wrong", System.getenv("BW_SCHEMA"), "")), "1045 28000");
    check("refused schema", errorOf(() -> connectAs(System.getenv("BW_USER"), System.getenv("BW_PASSWORD"), "cj_absent_schema", "")), "1049 42000");
  }

  static void kills() throws Exception {
    try (Connection killer = connect(""); Connection victim = connect("")) {
      run(killer, "CREATE TABLE cj_n (n INT)");
      run(killer, "INSERT INTO cj_n VALUES " + IntStream.range(0, 2000).mapToObj(i -> "(" + i + ")").collect(Collectors.joining(",")));
      settle();
      String heavy = "SELECT SUM(a.n * b.n % 7 + c.n) FROM cj_n a, cj_n b, cj_n c";
      Object id = rows(victim, "SELECT CONNECTION_ID()").get(0).get(0);
      CompletableFuture<String> seen = CompletableFuture.supplyAsync(() -> {
        try {
          return errorOf(() -> rows(victim, heavy));
        } catch (Exception e) {
          return e.toString();
        }
      });
      for (;;) { // The KILL is repeated, because nobody knows when the query begins.
        run(killer, "KILL QUERY " + id);
        try {
          seen.get(100, TimeUnit.MILLISECONDS);
          break;
        } catch (TimeoutException e) {
          // not yet
        }
      }
      check("kill query", seen.get(), "1317 70100");
      check("killed session lives", rows(victim, "SELECT 1"), "[[1]]");
      try (Statement st = victim.createStatement()) {
        st.setQueryTimeout(1);
        String outcome = errorOf(() -> st.executeQuery(heavy));
        check("query timeout", outcome.equals("no error"), false);
      }
      check("usable after the timeout", rows(victim, "SELECT 2"), "[[2]]");
      try (Statement st = victim.createStatement()) {
        CompletableFuture<String> cancelled = CompletableFuture.supplyAsync(() -> {
          try {
            return errorOf(() -> st.executeQuery(heavy));
          } catch (Exception e) {
            return e.toString();
          }
        });
        while (!cancelled.isDone()) {
          st.cancel();
          Thread.sleep(100);
        }
        check("cancel", cancelled.get(), "1317 70100");
      }
      run(killer, "KILL " + id);
      boolean lost = false;
      for (int i = 0; i < 100 && !lost; i++) {
        lost = !victim.isValid(1);
        Thread.sleep(50);
      }
      check("kill connection", lost, true);
      check("kill unknown", errorOf(() -> run(killer, "KILL QUERY 4000000000")), "1094 HY000");
    }
  }

  public static void main(String[] args) throws Exception {
    loadLocal();
    String[][] modes = {
      {"text", "useServerPrepStmts=false"},
      {"binary", "useServerPrepStmts=true"},
      {"bulk", "useServerPrepStmts=true&useBulkStmts=true&rewriteBatchedStatements=false"},
      {"rewrite", "rewriteBatchedStatements=true&useBulkStmts=false"},
    };
    for (String[] mode : modes) {
      try (Connection c = connect(mode[1])) {
        statements(c, mode[0]);
        batches(c, mode[0]);
        transactions(c, mode[0]);
        results(c, mode[0]);
        errors(c, mode[0]);
        fetchSizes(c, mode[0]);
      }
    }
    multiStatements();
    sessions();
    kills();
    System.exit(failures == 0 ? 0 : 1);
  }
}
