"""The machines that workers run on: each description once, and which one a worker has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("machine", sa.Text()))
    op.create_table(
        "machines",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_machines"),
    )


def downgrade() -> None:
    op.drop_table("machines")
    op.drop_column("workers", "machine")
