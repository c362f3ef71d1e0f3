"""SQL as text: its words, and which statements may be asked of a store."""

import re

import duckdb

from vectra_analytics.errors import NotReadOnly, VectraError

# Functions that do more than read rows. DuckDB's own settings refuse most of it once more, where it is tried.
_DOES_MORE = re.compile(
    r"query|query_table|json_execute_serialized_sql"  # carry out, or name, what stands in a text
    r"|write_log|truncate_duckdb_logs|(force_)?checkpoint|(enable|disable|verify)_\w+|add_parquet_key"
    r"|copy_database|import_database|\w+_external_resource(_type)?|setseed"
    r"|(?!parquet_)\w+_scan|(postgres|mysql|sqlite)_\w+|st_read\w*|load_aws_credentials|arrow_scan_dumb"
    r"|python_map_function|nextval"
).fullmatch
# What tells of the machine or of its user: these are named by no column.
_OF_THE_MACHINE = re.compile(
    r"getenv|current_setting|duckdb_settings|pg_settings|duckdb_secrets|which_secret"
).fullmatch


def check_read_only(sql: str) -> str:
    """The statement, if it is one that only reads; ``{parquet_glob}`` in quotes means ``events``.

    Raises
    ------
    NotReadOnly
        For anything else: several statements, or one that would write, attach, copy, install or set.
    duckdb.ParserException
        Where it is no SQL.
    """
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise VectraError(f"the statement is no text: {error.reason} at character {error.start + 1}") from error
    sql = re.sub(r"'\{parquet_glob\}'|\"\{parquet_glob\}\"|\{parquet_glob\}", "events", sql)
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1:
        raise NotReadOnly(f"wanted one statement that reads, found {len(statements)}")
    statement = statements[0]
    kind = statement.type
    if kind == duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE carries out what it explains.
        check_read_only(_explained_statement(statement.query))
    elif kind != duckdb.StatementType.SELECT and not (
        kind == duckdb.StatementType.MULTI and _opens_with(sql, _PIVOTING)
    ):
        raise NotReadOnly(
            f"a {kind.name} statement is not allowed here: only those that read are "
            "(SELECT, WITH, VALUES, FROM, PIVOT, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN)"
        )
    check_functions(sql)
    return sql


def check_functions(sql: str) -> None:
    """Raise NotReadOnly where the statement calls what does more than read rows."""
    # A space that is none in ASCII does not end a token, though SQL takes it for one.
    words = [
        re.split(r"[^\w.]+", token.strip('"').lower())[-1] if len(token) > 1 else token for _, token in tokens(sql)
    ]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if _OF_THE_MACHINE(word) or (following == "(" and _DOES_MORE(word)):
            raise NotReadOnly(
                f"the statement uses {word}, which does more than read the store; name relations of the store, "
                "and functions of their columns"
            )


_PIVOTING = {"pivot", "unpivot", "pivot_wider", "pivot_longer", "select", "from", "with", "("}


def _opens_with(sql: str, words: set[str]) -> bool:
    found = tokens(sql)
    return bool(found) and found[0][1].lower() in words


def _explained_statement(sql: str) -> str:
    """What stands behind EXPLAIN, EXPLAIN ANALYZE and EXPLAIN (options)."""
    found = [(start, token.lower()) for start, token in tokens(sql)[1:]]
    if found and found[0][1] == "(":
        depth = 0
        for index, (_, token) in enumerate(found):
            depth += {"(": 1, ")": -1}.get(token, 0)
            if depth == 0:
                inside = found[1][1]
                if inside in {"select", "with", "from", "values", "pivot", "("}:
                    break  # a statement in parentheses, not options
                found = found[index + 1 :]
                break
    while found and found[0][1] in {"analyze", "analyse", "verbose"}:
        found = found[1:]
    return sql[found[0][0] :] if found else ""


def statement_text(sql: str) -> str:
    """The one statement in a text without what closes it, so that it can stand in another one."""
    ends = [start for start, token in tokens(sql) if token == ";"]
    return sql[: ends[0]] if ends else sql


def tokens(sql: str) -> list[tuple[int, str]]:
    """The words and signs of a statement with their places, comments left out, keywords in lower case."""
    found = duckdb.tokenize(sql)
    text = sql.encode()  # DuckDB counts bytes
    ends = [start for start, _ in found[1:]] + [len(text)]
    told = []
    n_before, before = 0, 0  # characters and bytes
    for (start, kind), end in zip(found, ends, strict=True):
        n_before, before = n_before + len(text[before:start].decode()), start
        token = text[start:end].decode().strip()
        if kind != duckdb.token_type.comment:
            told.append((n_before, token.lower() if kind == duckdb.token_type.keyword else token))
    return told


def words_of(sql: str) -> set[str]:
    """Every word in a statement, in lower case: a name that it uses is one of them."""
    return {word.lower() for word in re.findall(r"\w+", sql)}


def text_literal(text: str) -> str:
    """The text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def quote_identifier(name: str) -> str:
    """The name as SQL."""
    return '"' + name.replace('"', '""') + '"'
