"""The pages of an atlas: static files that open from a disk, with no server and no network."""

from dreamopt.atlas.site.write import write_site as write_site
