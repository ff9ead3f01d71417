; Definitions, documentation, imports and the types of variables. Captures: see backstory/graph/parse.py.

(class_definition name: (identifier) @name body: (block) @body) @class
(function_definition name: (identifier) @name body: (block) @body) @function
(decorated_definition definition: (_) @wrapped) @wrapper

(class_definition body: (block . (expression_statement . (string) @doc)))
(function_definition body: (block . (expression_statement . (string) @doc)))

(import_statement name: (dotted_name) @import.module) @import
(import_statement name: (aliased_import name: (dotted_name) @import.module alias: (identifier) @import.alias)) @import
(import_from_statement module_name: (_) @import.module name: (dotted_name) @import.name) @import
(import_from_statement module_name: (_) @import.module
  name: (aliased_import name: (dotted_name) @import.name alias: (identifier) @import.alias)) @import
(import_from_statement module_name: (_) @import.module (wildcard_import) @import.star) @import

(assignment left: [(identifier) (attribute)] @typed right: (call function: [(identifier) (attribute)] @type))
(assignment left: [(identifier) (attribute)] @typed type: (type [(identifier) (attribute)] @type))
(typed_parameter . (identifier) @typed type: (type [(identifier) (attribute)] @type))
(typed_parameter . (identifier) @typed type: (type (string (string_content) @type)))
(typed_parameter . (identifier) @typed type: (type (binary_operator left: [(identifier) (attribute)] @type right: (none))))
(typed_default_parameter name: (identifier) @typed type: (type [(identifier) (attribute)] @type))
(typed_default_parameter name: (identifier) @typed type: (type (string (string_content) @type)))
(typed_default_parameter name: (identifier) @typed type: (type (binary_operator left: [(identifier) (attribute)] @type right: (none))))
(with_item value: (as_pattern (call function: [(identifier) (attribute)] @type) alias: (as_pattern_target (identifier) @typed)))
