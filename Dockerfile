# The page and its service: docker compose up
FROM python:3.13-slim
ENV PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
WORKDIR /diabolo
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src src
RUN pip install --constraint constraints.txt ".[codec,filters,tables]" \
    && useradd --create-home user && mkdir /data && chown user /data
USER user
WORKDIR /data
EXPOSE 8642
ENTRYPOINT ["diabolo"]
CMD ["studio", "--host", "0.0.0.0", "--port", "8642", "--no-browser"]
