"""Who may ask the HTTP interface: bearer tokens, of which the database holds the hash alone.

A token is 256 random bits, so its sha256 needs no salt and no slow function, and a look-up by the hash tells nobody
who measures it how near he is. Its tenant and role are all that a server ever believes of a request.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Connection, RowMapping, or_, select, update

from jobstore.clock import db_now
from jobstore.errors import InvalidToken
from jobstore.ids import new_id
from jobstore.schema import DEFAULT_TENANT
from jobstore.service_tables import tokens
from jobstore.upsert import insert_or_ignore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement

    from jobstore.connection import Database

#: Begins every token, so that scanners of code and logs find one that went astray.
PREFIX = "nightshift_"
_RANDOM_BYTES = 32
#: Seconds between two notes of a token's use: each is a write.
USE_NOTED_EVERY_S = 60.0
#: Tenants name folders of uploads, too.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")


class Role(StrEnum):
    """What a token may do; each role may do all that the ones before it may."""

    READER = "reader"  # see its tenant's jobs and results
    SUBMITTER = "submitter"  # and make, steer and export them
    OPERATOR = "operator"  # and see machines and all queues, and send workers home
    ADMIN = "admin"  # and whatever else the server offers

    def covers(self, needed: Role) -> bool:
        """Say whether this role may do what `needed` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it is listed; the token itself is nowhere.

    Attributes:
        expires: None: never.
        last_used: to the minute.
        revoked: when it was taken back; None: it was not.
    """

    token_id: str
    tenant: str
    name: str
    role: Role
    created: float
    expires: float | None
    last_used: float | None
    revoked: float | None


@dataclass(frozen=True, slots=True)
class TokenWish:
    """A token that is asked for; `lifetime_s` None: it never expires."""

    name: str
    tenant: str = DEFAULT_TENANT
    role: Role = Role.SUBMITTER
    lifetime_s: float | None = None


class Tokens:
    """The tokens of a store; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, wish: TokenWish) -> tuple[TokenRow, str]:
        """Make a bearer token and give it, which nobody can do a second time.

        Raises:
            InvalidToken: a name that cannot be, or that the tenant has already.
        """
        token = _mint()
        return self._db.write(lambda db: _add(db, wish, digest(token))), token

    def find(self, token: str) -> TokenRow | None:
        """Give whom a bearer token stands for, and note its use; None: unknown, expired or revoked."""
        hashed = digest(token)
        found = self._db.read(lambda db: _find(db, hashed))
        if found is None:
            return None
        row, is_note_due = found
        if is_note_due:
            self._db.write(lambda db: _note_use(db, row.token_id))
        return row

    def list(self, tenant: str | None = None) -> Sequence[TokenRow]:
        """List tokens, of one tenant or of all, the newest first."""
        return self._db.read(lambda db: _list(db, tenant))

    def revoke(self, token_id: str) -> bool:
        """Take a token back at once. False: it was before, or there is none of this id."""
        return self._db.change(lambda db: _revoke(db, token_id))


def _mint() -> str:
    """Give a fresh token, to be shown once."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest(token: str) -> str:
    """Give what is stored of a token: its sha256 in hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _add(db: Connection, wish: TokenWish, hashed: str) -> TokenRow:
    """Write a token and give it with the database's times.

    Raises:
        InvalidToken: a name that cannot be, or that the tenant has already.
    """
    for what, name in (("tenant", wish.tenant), ("name", wish.name)):
        if not _NAME.match(name):
            raise InvalidToken(
                f"{what} {name!r}: expected at most 63 of a-z, 0-9, '.', '_' and '-', a letter or digit first"
            )
    if wish.lifetime_s is not None and wish.lifetime_s <= 0:
        raise InvalidToken(f"a life of {wish.lifetime_s} s: expected more than 0, or none for a token without an end")
    values = {
        "id": new_id(),
        "tenant": wish.tenant,
        "name": wish.name,
        "role": str(wish.role),
        "hash": hashed,
        "created": db_now(),
        "expires": None if wish.lifetime_s is None else db_now() + wish.lifetime_s,
    }
    written = db.execute(insert_or_ignore(db, tokens).values(values).returning(*tokens.c)).mappings().first()
    if written is None:  # or this very token was written, by a try whose COMMIT went through without a reply
        written = db.execute(select(*tokens.c).where(tokens.c.hash == hashed)).mappings().first()
    if written is None:
        raise InvalidToken(f"tenant {wish.tenant} had a token called {wish.name!r} before: give another name")
    return _token(written)


def _find(db: Connection, hashed: str) -> tuple[TokenRow, bool] | None:
    """Find the valid token of this hash, and say whether a note of its use is due. None: unknown, expired, revoked."""
    is_valid = tokens.c.revoked.is_(None) & or_(tokens.c.expires.is_(None), tokens.c.expires > db_now())
    query = select(*tokens.c, _is_note_due().label("is_note_due")).where(tokens.c.hash == hashed, is_valid)
    row = db.execute(query).mappings().first()
    return None if row is None else (_token(row), bool(row["is_note_due"]))


def _note_use(db: Connection, token_id: str) -> None:
    """Note that a token was used, at most once a minute."""
    db.execute(update(tokens).where(tokens.c.id == token_id, _is_note_due()).values(last_used=db_now()))


def _list(db: Connection, tenant: str | None) -> list[TokenRow]:
    """List tokens, of one tenant or of all, the newest first; revoked ones, too."""
    query = select(tokens).order_by(tokens.c.created.desc(), tokens.c.id.desc())
    if tenant is not None:
        query = query.where(tokens.c.tenant == tenant)
    return [_token(row) for row in db.execute(query).mappings()]


def _revoke(db: Connection, token_id: str) -> bool:
    """Take a token back, for good and at once. False: it was before, or there is none of this id."""
    change = update(tokens).where(tokens.c.id == token_id, tokens.c.revoked.is_(None)).values(revoked=db_now())
    return bool(db.execute(change).rowcount)


def _is_note_due() -> ColumnElement[bool]:
    return or_(tokens.c.last_used.is_(None), tokens.c.last_used < db_now() - USE_NOTED_EVERY_S)


def _token(row: RowMapping) -> TokenRow:
    names = ("tenant", "name", "created", "expires", "last_used", "revoked")
    return TokenRow(token_id=row["id"], role=Role(row["role"]), **{name: row[name] for name in names})
