-- The tables of an SQLite store as mlflow 3.17.2 wrote them on 2026-11-22: what an import reads of them.
CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO experiments VALUES (0,'Default','/data/mlruns/0','active',1795352665310,1795352665310,'default');
INSERT INTO experiments VALUES (1,'tiny','/data/mlruns/1','active',1795352665317,1795352665317,'default');
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO runs VALUES ('d7bdf5406d584933928e515214e96f70','parent','UNKNOWN','','','root','FINISHED',1795352665380,1795352665523,'','active','/data/mlruns/1/d7bdf5406d584933928e515214e96f70/artifacts',1,NULL);
INSERT INTO runs VALUES ('f2fa05489b854080b1fcde2a52013b67','child','UNKNOWN','','','root','FINISHED',1795352665504,1795352665515,'','active','/data/mlruns/1/f2fa05489b854080b1fcde2a52013b67/artifacts',1,NULL);
INSERT INTO runs VALUES ('f11ff295e2cb43679de5dd3b3ed6b063','bad','UNKNOWN','','','root','FAILED',1795352665530,1795352665543,'','deleted','/data/mlruns/1/f11ff295e2cb43679de5dd3b3ed6b063/artifacts',1,1795352665551);
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO metrics VALUES ('train/loss',5.0,1795352665402,'d7bdf5406d584933928e515214e96f70',0,0);
INSERT INTO metrics VALUES ('train/loss',4.9,1795352665408,'d7bdf5406d584933928e515214e96f70',1,0);
INSERT INTO metrics VALUES ('train/loss',4.8,1795352665412,'d7bdf5406d584933928e515214e96f70',2,0);
INSERT INTO metrics VALUES ('train/loss',4.7,1795352665416,'d7bdf5406d584933928e515214e96f70',3,0);
INSERT INTO metrics VALUES ('train/loss',4.6,1795352665420,'d7bdf5406d584933928e515214e96f70',4,0);
INSERT INTO metrics VALUES ('train/loss',4.5,1795352665425,'d7bdf5406d584933928e515214e96f70',5,0);
INSERT INTO metrics VALUES ('train/loss',4.4,1795352665430,'d7bdf5406d584933928e515214e96f70',6,0);
INSERT INTO metrics VALUES ('train/loss',4.3,1795352665434,'d7bdf5406d584933928e515214e96f70',7,0);
INSERT INTO metrics VALUES ('train/loss',4.2,1795352665437,'d7bdf5406d584933928e515214e96f70',8,0);
INSERT INTO metrics VALUES ('train/loss',4.1,1795352665441,'d7bdf5406d584933928e515214e96f70',9,0);
INSERT INTO metrics VALUES ('train/loss',4.0,1795352665445,'d7bdf5406d584933928e515214e96f70',10,0);
INSERT INTO metrics VALUES ('train/loss',3.9,1795352665448,'d7bdf5406d584933928e515214e96f70',11,0);
INSERT INTO metrics VALUES ('train/loss',3.8,1795352665452,'d7bdf5406d584933928e515214e96f70',12,0);
INSERT INTO metrics VALUES ('train/loss',3.7,1795352665455,'d7bdf5406d584933928e515214e96f70',13,0);
INSERT INTO metrics VALUES ('train/loss',3.5999999999999996,1795352665458,'d7bdf5406d584933928e515214e96f70',14,0);
INSERT INTO metrics VALUES ('train/loss',3.5,1795352665462,'d7bdf5406d584933928e515214e96f70',15,0);
INSERT INTO metrics VALUES ('train/loss',3.4,1795352665465,'d7bdf5406d584933928e515214e96f70',16,0);
INSERT INTO metrics VALUES ('train/loss',3.3,1795352665470,'d7bdf5406d584933928e515214e96f70',17,0);
INSERT INTO metrics VALUES ('train/loss',3.2,1795352665474,'d7bdf5406d584933928e515214e96f70',18,0);
INSERT INTO metrics VALUES ('train/loss',3.0999999999999996,1795352665478,'d7bdf5406d584933928e515214e96f70',19,0);
INSERT INTO metrics VALUES ('odd',0.0,1795352665482,'d7bdf5406d584933928e515214e96f70',1,1);
INSERT INTO metrics VALUES ('odd',1.7976931348623157e+308,1795352665488,'d7bdf5406d584933928e515214e96f70',2,0);
INSERT INTO metrics VALUES ('loss',1.0,1795352665510,'f2fa05489b854080b1fcde2a52013b67',0,0);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO params VALUES ('lr','0.001','d7bdf5406d584933928e515214e96f70');
INSERT INTO params VALUES ('model','gpt','d7bdf5406d584933928e515214e96f70');
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO tags VALUES ('mlflow.user','root','d7bdf5406d584933928e515214e96f70');
INSERT INTO tags VALUES ('mlflow.source.name','ml.py','d7bdf5406d584933928e515214e96f70');
INSERT INTO tags VALUES ('mlflow.source.type','LOCAL','d7bdf5406d584933928e515214e96f70');
INSERT INTO tags VALUES ('mlflow.note.content','A note.','d7bdf5406d584933928e515214e96f70');
INSERT INTO tags VALUES ('mlflow.runName','parent','d7bdf5406d584933928e515214e96f70');
INSERT INTO tags VALUES ('team','blue','d7bdf5406d584933928e515214e96f70');
INSERT INTO tags VALUES ('mlflow.user','root','f2fa05489b854080b1fcde2a52013b67');
INSERT INTO tags VALUES ('mlflow.source.name','ml.py','f2fa05489b854080b1fcde2a52013b67');
INSERT INTO tags VALUES ('mlflow.source.type','LOCAL','f2fa05489b854080b1fcde2a52013b67');
INSERT INTO tags VALUES ('mlflow.parentRunId','d7bdf5406d584933928e515214e96f70','f2fa05489b854080b1fcde2a52013b67');
INSERT INTO tags VALUES ('mlflow.runName','child','f2fa05489b854080b1fcde2a52013b67');
INSERT INTO tags VALUES ('mlflow.user','root','f11ff295e2cb43679de5dd3b3ed6b063');
INSERT INTO tags VALUES ('mlflow.source.name','ml.py','f11ff295e2cb43679de5dd3b3ed6b063');
INSERT INTO tags VALUES ('mlflow.source.type','LOCAL','f11ff295e2cb43679de5dd3b3ed6b063');
INSERT INTO tags VALUES ('mlflow.runName','bad','f11ff295e2cb43679de5dd3b3ed6b063');