"""`nightshift serve` and `token`: HTTP and pages, and who may use them."""

from __future__ import annotations

import click

from nightshift.cli.errors import ERROR
from nightshift.cli.output import json_option, moment, print_json, print_rows, say
from nightshift.cli.times import span
from nightshift.settings import load_settings
from nightshift.stack import open_client, open_store

#: Values of `jobstore.tokens.Role`; a test holds them equal.
ROLES = ("reader", "submitter", "operator", "admin")
#: Characters of a token's id that tell it from others.
ID_TAIL = 8

host_option = click.option("--host", help="Address to listen on [default: NIGHTSHIFT_SERVER__HOST, 127.0.0.1].")
port_option = click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one [default: NIGHTSHIFT_SERVER__PORT, 8000]."
)
auth_option = click.option(
    "--no-auth", is_flag=True, help="Ask nobody for a token: whoever reaches the address may do everything."
)


@click.command()
@host_option
@port_option
@auth_option
@json_option
def serve(*, host: str | None, port: int | None, no_auth: bool, as_json: bool) -> None:
    """Serve HTTP and pages until Ctrl-C; jobs are done by workers elsewhere."""
    from nightshift.housekeeping import house_kept
    from nightshift.serving import bind, run, services_of

    settings = load_settings()
    where = host or settings.server.host
    check_open(where, no_auth=no_auth)
    with open_client(settings) as stack:
        services = services_of(stack, where, needs_token=not no_auth)
        address = bind(where, settings.server.port if port is None else port)
        if as_json:
            print_json({"url": address.url})
        else:
            say("serve", f"{address.url}     Ctrl-C ends")
            warn(no_auth=no_auth)
        with house_kept(settings, stack.broker_url):
            run(services, address)


def check_open(host: str, *, no_auth: bool) -> None:
    """Refuse to serve other machines without asking for tokens.

    Raises:
        click.UsageError.
    """
    from nightshift.serving import is_loopback

    if no_auth and not is_loopback(host):
        raise click.UsageError(
            f"--no-auth on {host}: other machines could do everything here; expected 127.0.0.1, ::1 or localhost"
        )


def warn(*, no_auth: bool) -> None:
    """Say what a server without tokens means."""
    if no_auth:
        say("warning", "no token is asked for: every program and every user of this machine may do everything")


@click.group()
def token() -> None:
    """Make, list and take back the tokens that HTTP requests carry."""


@token.command()
@click.argument("name")
@click.option("--tenant", default="default", show_default=True, help="Whose jobs it may see and make.")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="submitter",
    show_default=True,
    help="reader looks; submitter also makes, steers and exports; operator also sees machines; admin all.",
)
@click.option("--expires", callback=span, metavar="30d", help="End of its life [default: never].")
@json_option
def create(*, name: str, tenant: str, role: str, expires: float | None, as_json: bool) -> None:
    """Make a token and print it: this once, since only its hash is kept."""
    from jobstore.tokens import Role, TokenWish

    with open_store(load_settings()) as store:
        row, secret = store.tokens.add(TokenWish(name, tenant, Role(role), expires))
    if as_json:
        print_json({"token": secret, "token_id": row.token_id, "tenant": row.tenant, "role": row.role})
        return
    click.echo(secret)
    say("token", f"{row.name}: {row.role} of tenant {row.tenant}; it is not shown again")


@token.command("ls")
@click.option("--tenant", help="Only this tenant's.")
@json_option
def list_tokens(tenant: str | None, as_json: bool) -> None:
    """List tokens by their names; the tokens themselves are nowhere."""
    with open_store(load_settings()) as store:
        found = store.tokens.list(tenant)
    if as_json:
        for row in found:
            print_json(row)
        return
    columns = ("id", "name", "tenant", "role", "made", "ends", "last used", "revoked")
    print_rows(columns, [
        (t.token_id[-ID_TAIL:], t.name, t.tenant, str(t.role), moment(t.created), moment(t.expires),
         moment(t.last_used), moment(t.revoked))
        for t in found
    ])  # fmt: skip


@token.command()
@click.argument("name")
@click.option("--tenant", default="default", show_default=True, help="Whose token it is.")
@json_option
def revoke(name: str, tenant: str, as_json: bool) -> int:
    """Take a token back at once. NAME: its name, or a tail of its id."""
    with open_store(load_settings()) as store:
        found = [
            row
            for row in store.tokens.list(tenant)
            if row.revoked is None and (row.name == name or row.token_id.endswith(name))
        ]
        if len(found) != 1:
            known = ", ".join(row.name for row in found) or "none"
            raise click.UsageError(f"{len(found)} valid tokens of {tenant} are called {name!r} ({known})")
        is_changed = store.tokens.revoke(found[0].token_id)
    if as_json:
        print_json({"token_id": found[0].token_id, "is_changed": is_changed})
    else:
        say("token", f"{found[0].name} is revoked" if is_changed else f"{found[0].name} was revoked just now")
    return 0 if is_changed else ERROR
