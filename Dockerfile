# The server, and the commands of a data scientist. Builds where a package registry can be reached; runs without one.
FROM python:3.11-slim AS built
WORKDIR /built
RUN python -m venv /venv
COPY requirements-run.lock .
RUN /venv/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements-run.lock
COPY pyproject.toml README.md LICENSE ./
COPY valuation valuation
COPY training training
COPY serving serving
RUN python -c "import pathlib, sysconfig; print(pathlib.Path('/venv/lib/python3.11/site-packages'))" \
 && cp -r valuation training serving /venv/lib/python3.11/site-packages/ \
 && printf '#!/bin/sh\nexec /venv/bin/python -m serving "$@"\n' > /venv/bin/reprise-serve \
 && printf '#!/bin/sh\nexec /venv/bin/python -m training "$@"\n' > /venv/bin/reprise \
 && chmod +x /venv/bin/reprise-serve /venv/bin/reprise

FROM python:3.11-slim
# LightGBM needs the runtime of OpenMP.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home --home-dir /home/reprise reprise \
 && install -d -o reprise -g reprise /state
COPY --from=built /venv /venv
USER reprise
WORKDIR /home/reprise
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 REPRISE_HOME=/state REPRISE_HOST=0.0.0.0
VOLUME /state
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
CMD ["reprise-serve"]
